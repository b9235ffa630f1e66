import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Judges MSK's IAM tokens as MSK's brokers do, by AWS's published signature version 4: a URL signed for the service
 * kafka-cluster in this region, at most 300 s off and 900 s old, by somebody whose credentials have not expired. Every
 * refusal looks the same, as MSK's do. Who there is stands in a file, read for each token: a line "clock SECONDS" that
 * sets the broker's clock apart, and lines "ACCESS SECRET TOKEN EXPIRES PRINCIPAL" (TOKEN "-" for none). Whom it lets in,
 * it appends to a file beside it, once for each authentication.
 */
public final class MskIamValidator implements AuthenticateCallbackHandler {
    private static final DateTimeFormatter STAMP = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");

    private Path people;
    private String region;

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        Map<String, ?> options = entries.get(0).getOptions();
        people = Path.of((String) options.get("people"));
        region = (String) options.get("region");
    }

    @Override
    public void close() {}

    @Override
    public void handle(Callback[] callbacks) {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback asked) {
                try {
                    asked.token(judged(asked.tokenValue()));
                } catch (Exception refused) {
                    System.err.println("MskIamValidator: " + refused);
                    asked.error("Access denied", null, null);
                }
            }
        }
    }

    private OAuthBearerToken judged(String token) throws Exception {
        URI signed = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
        TreeMap<String, String> query = new TreeMap<>();
        for (String pair : signed.getRawQuery().split("&")) {
            query.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
        }
        String signature = query.remove("X-Amz-Signature");
        query.remove("User-Agent");
        must(plain(query, "Action").equals("kafka-cluster:Connect"), "not for Connect");
        must(signed.getHost().equals("kafka." + region + ".amazonaws.com"), "not for this region's host");
        String[] credential = plain(query, "X-Amz-Credential").split("/");
        String scope = String.join("/", List.of(credential).subList(1, credential.length));
        must(scope.endsWith("/" + region + "/kafka-cluster/aws4_request"), "not for this region's clusters");

        List<String> lines = Files.readAllLines(people);
        long apart = Long.parseLong(lines.get(0).split(" ")[1]);
        Instant now = Instant.now().plusSeconds(apart);
        Instant at = LocalDateTime.parse(plain(query, "X-Amz-Date"), STAMP).toInstant(ZoneOffset.UTC);
        long life = Long.parseLong(plain(query, "X-Amz-Expires"));
        must(life <= 900, "lives too long");
        must(at.isBefore(now.plusSeconds(300)), "signed in the future");
        must(at.plusSeconds(life).isAfter(now), "expired");

        String[] person = lines.stream().skip(1).map(line -> line.split(" "))
            .filter(words -> words[0].equals(credential[0])).findFirst().orElseThrow();
        String session = query.containsKey("X-Amz-Security-Token") ? plain(query, "X-Amz-Security-Token") : "-";
        must(session.equals(person[2]), "another session");
        Instant end = Instant.ofEpochSecond(Long.parseLong(person[3]));
        must(end.isAfter(now), "credentials expired");
        String wanted = signatureOf(query, signed.getHost(), scope, person[1]);
        must(MessageDigest.isEqual(wanted.getBytes(), signature.getBytes()), "signature");
        Files.writeString(Path.of(people + ".let-in"), person[0] + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        Instant until = at.plusSeconds(life).isBefore(end) ? at.plusSeconds(life) : end;
        return accepted(token, person[4], at, until);
    }

    private static String signatureOf(TreeMap<String, String> query, String host, String scope, String secret)
            throws Exception {
        StringBuilder pairs = new StringBuilder();
        query.forEach((key, value) -> pairs.append(pairs.isEmpty() ? "" : "&").append(key).append("=").append(value));
        String request = "GET\n/\n" + pairs + "\nhost:" + host + "\n\nhost\n" + sha256("");
        String text = "AWS4-HMAC-SHA256\n" + plain(query, "X-Amz-Date") + "\n" + scope + "\n" + sha256(request);
        byte[] key = ("AWS4" + secret).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        return HexFormat.of().formatHex(hmac(key, text));
    }

    private static String plain(Map<String, String> query, String key) {
        return URLDecoder.decode(query.get(key), StandardCharsets.UTF_8);
    }

    private static String sha256(String text) throws Exception {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    private static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static void must(boolean holds, String what) {
        if (!holds) {
            throw new IllegalArgumentException(what);
        }
    }

    private static OAuthBearerToken accepted(String token, String principal, Instant from, Instant until) {
        return new OAuthBearerToken() {
            @Override public String value() { return token; }
            @Override public Set<String> scope() { return Set.of(); }
            @Override public long lifetimeMs() { return until.toEpochMilli(); }
            @Override public String principalName() { return principal; }
            @Override public Long startTimeMs() { return from.toEpochMilli(); }
        };
    }
}
