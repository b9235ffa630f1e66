#!/bin/sh
# Makes a topic for dead letters (dead_letter.type kafka) on a cluster, with Kafka's own kafka-topics.sh.
set -eu

usage() {
    cat <<'TEXT'
Usage: topic.sh [--dry-run] --bootstrap HOST:PORT --topic NAME --partitions N [--replicas N] [--days N]
                [--serverless] [--command-config FILE]

  --partitions N         As many as the largest topic that is read has: a letter keeps its record's partition.
  --replicas N           Copies of each partition [default: 3]; of those, all but one must have a letter.
  --days N               How long letters stay [default: 90].
  --serverless           For MSK Serverless, which has copies of its own, and takes records of 8 MiB at most.
  --command-config FILE  Properties of the Java client, such as security.protocol.
  --dry-run              Print the command, and run nothing.

  KAFKA_TOPICS names kafka-topics.sh where it is not on the PATH. A topic that is there already is left as it is.

Examples:
  topic.sh --bootstrap localhost:9092 --topic dead-letters --partitions 3 --replicas 1
  topic.sh --dry-run --bootstrap "$BROKERS" --topic dead-letters --partitions 12 --command-config iam.properties
TEXT
}

wrong() {
    echo "topic.sh: $1. See topic.sh --help" >&2
    exit 2
}

bootstrap='' topic='' partitions='' replicas=3 days=90 serverless='' config='' run=''
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        --dry-run) run=echo; shift; continue ;;
        --serverless) serverless=yes; shift; continue ;;
        --bootstrap | --topic | --partitions | --replicas | --days | --command-config) ;;
        *) wrong "$1 is no option" ;;
    esac
    [ $# -ge 2 ] || wrong "$1 needs a value"
    case "$1" in
        --bootstrap) bootstrap=$2 ;;
        --topic) topic=$2 ;;
        --partitions) partitions=$2 ;;
        --replicas) replicas=$2 ;;
        --days) days=$2 ;;
        --command-config) config=$2 ;;
    esac
    shift 2
done
[ -n "$bootstrap" ] || wrong "--bootstrap is required"
[ -n "$topic" ] || wrong "--topic is required"
[ -n "$partitions" ] || wrong "--partitions is required"
for number in "partitions $partitions" "replicas $replicas" "days $days"; do
    case "${number#* }" in
        '' | *[!0-9]* | 0*) wrong "--${number%% *} must be a whole number above 0, not ${number#* }" ;;
    esac
done
[ -z "$config" ] || [ -r "$config" ] || wrong "--command-config: $config cannot be read"

insync=$((replicas > 1 ? replicas - 1 : 1))
command=${KAFKA_TOPICS:-kafka-topics.sh}
if [ -z "$run" ] && ! command -v "$command" >/dev/null; then
    echo "topic.sh: $command is not there: take it from a download of Apache Kafka, and name it in KAFKA_TOPICS" >&2
    exit 3
fi
set -- --bootstrap-server "$bootstrap" --create --if-not-exists --topic "$topic" --partitions "$partitions" \
    --config "cleanup.policy=delete" --config "retention.ms=$((days * 86400000))" \
    --config "message.timestamp.type=CreateTime"
# A letter is a record as it was: what the topic that is read lets in has to fit, with the headers beside it.
if [ -n "$serverless" ]; then
    set -- "$@" --config "max.message.bytes=8388608"
else
    set -- "$@" --replication-factor "$replicas" --config "min.insync.replicas=$insync" \
        --config "max.message.bytes=10485760"
fi
[ -z "$config" ] || set -- "$@" --command-config "$config"
exec $run "$command" "$@"
