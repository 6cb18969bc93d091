#!/bin/sh
# Runs at every boot, before all else: arms the switch that powers this server off. The agent's modules stand at the mark.
# Where there is no Python, or it breaks, the timer made here still ends the server 10 minutes after boot.
umask 022
kind=guest
control=${HOME:-/tmp}/.dayfly/control
if [ "$(id -u)" = 0 ] && [ -z "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ]; then
	if [ -d /run/systemd/system ] && [ "$(cat /proc/1/comm)" = systemd ]; then
		kind=systemd
	elif [ -z "$AWS_ENDPOINT_URL" ]; then
		kind=machine
	fi
fi
[ $kind = guest ] || control=/run/dayfly
package=$control/package
mkdir -p "$package/dayfly/remote/agent"
cat >"$control/off.sh" <<'END'
# Says why, then powers off, ever harder. With a second word in a unit of its own, which holds up nobody's stop.
[ "$2" ] && exec systemd-run --no-block -p DefaultDependencies=no sh "$0" "$1"
# One reason is said: the first. None where the agent or EC2 ended the server.
if [ ! -e /run/dayfly/agent-ended ] && [ "$(systemctl is-system-running)" != stopping ] && mkdir /run/dayfly/off; then
	echo "dayfly switch: powering off: $1" | tee /dev/console
fi
systemctl --no-block poweroff
sleep 45
systemctl -f poweroff
sleep 15
systemctl -ff poweroff
sleep 5
echo o >/proc/sysrq-trigger
END
if [ $kind = systemd ]; then
	systemd-run --no-block --unit=dayfly-first --on-boot=600 --timer-property=AccuracySec=1s \
		--timer-property=DefaultDependencies=no -p DefaultDependencies=no \
		/bin/sh -c 'why=$(python3 -I -S /run/dayfly/package check /run/dayfly systemd 2>&1) || exec sh /run/dayfly/off.sh "${why:-no python3}"'
fi
echo "exec python3 -I -S '$package' start '$control' $kind" >"$control/start.sh"
echo 'from dayfly.remote.agent import switch; switch.main()' >"$package/__main__.py"
python3 -I -S -c 'import base64, bz2, sys
for part in bz2.decompress(base64.b64decode(sys.stdin.read())).decode().split("\f"):
	name, text = part.split("\n", 1)
	open(sys.argv[1] + "/dayfly/remote/agent/" + name, "w").write(text)' "$package" <<'END'
#agent#
END
exec python3 -I -S "$package" arm "$control" $kind
