#!/bin/sh
# Runs first at every boot: arms the switch, which powers this server off. user_data.py puts the modules of this folder at #modules#.
# If Python is missing or fails, the timer made here still powers the server off 10 minutes after boot.
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
mkdir -p "$package/dayfly/remote/boot"
cat >"$control/off.sh" <<'END'
# Write the reason, then power off, by harder means each time. With a second argument: in a unit of its own, so that the
# caller's unit can stop at once.
[ "$2" ] && exec systemd-run --no-block -p DefaultDependencies=no sh "$0" "$1"
# Only the first reason is written; none if the agent or EC2 ended the server.
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
echo 'from dayfly.remote.boot import switch; switch.main()' >"$package/__main__.py"
#modules#
exec python3 -I -S "$package" arm "$control" $kind
