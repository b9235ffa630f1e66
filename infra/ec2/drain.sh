#!/bin/sh
# Stops every poller of this machine in order before EC2 takes the machine away: it looks for a Spot interruption and
# for the end that an auto-scaling group has in mind, and lets the group go on once the pollers have ended.
#   HOOK, GROUP  the lifecycle hook and its group; without them nobody waits for an answer
#   IMDS         where the instance's metadata is, EVERY how many seconds lie between two looks
#   LINGER       seconds in which the last lines of the log are sent
set -eu

IMDS=${IMDS:-http://169.254.169.254}
EVERY=${EVERY:-5}

# The answer, or nothing: what is not the case is answered with 404.
metadata() {
    token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token") || return 0
    curl -sf -m 2 -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1" || return 0
}

group_ends_it() {
    [ "$(metadata autoscaling/target-lifecycle-state)" = Terminated ]
}

reason() {
    if group_ends_it; then
        echo 'the auto-scaling group ends this machine'
    elif [ -n "$(metadata spot/instance-action)" ]; then
        echo 'EC2 takes this Spot machine back within two minutes'
    fi
}

# Where this fails, the hook's own time-out ends the machine a little later.
tell_the_group() {
    aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE \
        --lifecycle-hook-name "$HOOK" --auto-scaling-group-name "$GROUP" \
        --instance-id "$(metadata instance-id)" --region "$(metadata placement/region)"
}

while why=$(reason) && [ -z "$why" ]; do
    sleep "$EVERY"
done

echo "$why: stopping the pollers"
systemctl stop 'datahub-poller@*.service' || echo 'systemctl could not stop them all'
echo 'the pollers have stopped'
sleep "${LINGER:-0}"

[ -n "${HOOK:-}" ] && [ -n "${GROUP:-}" ] || exit 0
# After a Spot interruption the group may have nothing in mind yet: its hook waits for an answer from then on only.
until group_ends_it; do
    sleep "$EVERY"
done
for _ in 1 2 3; do
    tell_the_group && exit 0
    sleep "$EVERY"
done
echo 'the group was not told, and waits for its hook'
