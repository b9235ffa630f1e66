import com.amazonaws.services.schemaregistry.serializers.GlueSchemaRegistryKafkaSerializer;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;

/**
 * Frames Avro records with AWS's own serializer, which registers their schema as it goes.
 *
 * <p>Standard input: the number of records, then each as its length and its Avro binary form; numbers are big-endian
 * ints. Standard output: the framed records in the same order, each after its length. Arguments: the schema's file, the
 * topic, the serializer's settings as KEY=VALUE.
 */
public final class Encode {
  private Encode() {}

  public static void main(String[] args) throws Exception {
    Schema schema = new Schema.Parser().parse(Files.readString(Path.of(args[0])));
    String topic = args[1];
    Map<String, Object> settings = new HashMap<>();
    for (int i = 2; i < args.length; i++) {
      String[] pair = args[i].split("=", 2);
      settings.put(pair[0], pair[1]);
    }

    System.setOut(System.err); // a logger's lines have no place between the records
    DataInputStream in = new DataInputStream(System.in);
    try (GlueSchemaRegistryKafkaSerializer serializer = new GlueSchemaRegistryKafkaSerializer();
        DataOutputStream out =
            new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)))) {
      serializer.configure(settings, false);
      GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
      for (int count = in.readInt(); count > 0; count--) {
        byte[] plain = in.readNBytes(in.readInt());
        GenericRecord record = reader.read(null, DecoderFactory.get().binaryDecoder(plain, null));
        byte[] framed = serializer.serialize(topic, record);
        out.writeInt(framed.length);
        out.write(framed);
      }
    }
  }
}
