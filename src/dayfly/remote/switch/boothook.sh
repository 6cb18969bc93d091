#!/bin/sh
# Runs at every boot, before all else: arms the switch that powers this server off. `switch.py` stands where the mark is.
# Where there is no Python, or it breaks, the timer made here still ends the server 10 minutes after boot.
umask 022
machine=
if [ -z "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ] && [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ] &&
    [ "$(cat /proc/1/comm)" = systemd ]; then
    machine=systemd
    control=/run/dayfly
else
    control=${HOME:-/tmp}/.dayfly/control
fi
mkdir -p "$control"
cat >"$control/off.sh" <<'OFF_SH'
#!/bin/sh
# Power this server off and say why; when that hangs, ever harder.
if [ ! -e /run/dayfly/agent-ended ] && [ "$(systemctl is-system-running)" != stopping ]; then
    echo "dayfly switch: powering off: $1" | tee /dev/console
fi
systemctl --no-block poweroff
sleep 45
systemctl poweroff --force
sleep 15
systemctl poweroff --force --force
sleep 5
echo o >/proc/sysrq-trigger
OFF_SH
if [ "$machine" = systemd ]; then
    systemd-run --quiet --no-block --collect --unit=dayfly-first --on-boot=600 \
        --timer-property=AccuracySec=1s --timer-property=DefaultDependencies=no --property=DefaultDependencies=no \
        /bin/sh -c 'why=$(python3 -I -S /run/dayfly/switch.py check) || exec /bin/sh /run/dayfly/off.sh "${why:-no python3}"'
fi
cat >"$control/switch.py" <<'SWITCH_PY'
#switch.py#
SWITCH_PY
python3 -I -S "$control/switch.py" arm "$control" "$machine"
