#!/bin/sh
# Stops every poller of this machine in order before EC2 takes the machine away: it looks for a Spot interruption and
# for the end that an auto-scaling group has in mind, and lets the group go on once the pollers have ended.
#   HOOK, GROUP  the lifecycle hook and its group; without them nobody waits for an answer
#   IMDS         where the instance's metadata is, EVERY how many seconds lie between two looks
set -eu

IMDS=${IMDS:-http://169.254.169.254}
EVERY=${EVERY:-5}

# The answer, or nothing: what is not the case is answered with 404.
metadata() {
    token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token") || return 0
    curl -sf -m 2 -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1" || return 0
}

reason() {
    if [ -n "$(metadata spot/instance-action)" ]; then
        echo 'EC2 takes this Spot machine back within two minutes'
    elif [ "$(metadata autoscaling/target-lifecycle-state)" = Terminated ]; then
        echo 'the auto-scaling group ends this machine'
    fi
}

while why=$(reason) && [ -z "$why" ]; do
    sleep "$EVERY"
done

echo "$why: stopping the pollers"
systemctl stop 'datahub-poller@*.service' || echo 'systemctl could not stop them all'
echo 'the pollers have stopped'

if [ -n "${HOOK:-}" ] && [ -n "${GROUP:-}" ]; then
    # Where this fails, the hook's own time-out ends the machine a little later.
    aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE \
        --lifecycle-hook-name "$HOOK" --auto-scaling-group-name "$GROUP" \
        --instance-id "$(metadata instance-id)" --region "$(metadata placement/region)" \
        || echo 'the group was not told, and waits for its hook'
fi
