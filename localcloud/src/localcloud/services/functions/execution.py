"""Runs functions: turns MiniStack's record of a function into a `Spec`, invokes it in an environment, and writes its log.

The pool and the processes are in environments.py; asynchronous events and their retries are in events.py.
"""

import hashlib
import io
import os
import secrets
import shutil
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.ministack import functions, requests
from localcloud.services.functions.environments import Outcome, Pool, Spec
from localcloud.services.functions.libraries import link
from localcloud.services.functions.permissions import check_role
from localcloud.services.iam import roles

_SERVICE = "lambda.amazonaws.com"


class Functions:
    """Runs this cloud's functions in place of MiniStack's own executors."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._home = cloud.state / "functions"
        shutil.rmtree(self._home / "code", ignore_errors=True)
        self._libraries = link(self._home / "libraries")
        self._pool = Pool(self._home / "scratch")
        self._unpacking = threading.Lock()
        self._streams: dict[str, str] = {}
        functions.replace_execution(self.execute, self.write_log)
        requests.replace_handler("lambda", check_role(requests.handler("lambda")))
        self._closed = threading.Event()
        threading.Thread(target=self._sweep, name="function-sweeper", daemon=True).start()

    def close(self) -> None:
        """End every function's process."""
        self._closed.set()
        self._pool.close()

    def execute(self, record: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        """Run one event, as MiniStack calls it from a thread: {"body", "error", "function_error", "log"}."""
        config = record.get("config") or record
        began = time.monotonic()
        try:
            spec = self._spec(record, config)
            outcome, stream = self._pool.invoke(spec, event, request_id, config.get("FunctionArn", ""))
        except roles.RoleRefused as refused:
            text = f"The role defined for the function cannot be assumed by Lambda. {refused}"
            outcome, stream = Outcome(error={"errorType": "AccessDeniedException", "errorMessage": text}), ""
        except (zipfile.BadZipFile, ValueError) as broken:
            outcome = Outcome(error={"errorType": "Runtime.InvalidEntrypoint", "errorMessage": str(broken)})
            stream = ""
        self._streams[request_id] = stream or f"{time.strftime('%Y/%m/%d')}/[$LATEST]{secrets.token_hex(16)}"
        failed = outcome.error is not None
        lines = _framed(config, request_id, outcome.log, failed, int((time.monotonic() - began) * 1000))
        answer: dict[str, Any] = {"body": outcome.result, "log": "\n".join(lines) + "\n"}
        if outcome.error is not None:
            answer |= {"body": outcome.error, "error": True, "function_error": "Unhandled"}
        return answer

    def write_log(
        self, record: dict[str, Any], request_id: str, text: str, error: bool, duration_ms: int, **_: Any
    ) -> None:
        """Write START, what was printed, END and REPORT to the function's log group, one stream for each environment.

        `text` is the log that `execute` returned, which has these lines, or the message of an event that never ran.
        """
        config = record.get("config") or record
        stream_name = self._streams.pop(request_id, None)
        if stream_name is None:
            return
        now = int(time.time() * 1000)
        lines = text.splitlines()
        if not text.startswith(f"START RequestId: {request_id} "):
            lines = _framed(config, request_id, text, error, duration_ms)
        functions.append_log(_group_name(config), stream_name, lines, now)

    def _spec(self, record: dict[str, Any], config: dict[str, Any]) -> Spec:
        runtime = config.get("Runtime", "")
        if not runtime.startswith("python"):
            raise ValueError(f"The local cloud runs only Python functions, not {runtime or 'an image'}.")
        if "." not in config.get("Handler", ""):
            raise ValueError(f"Bad handler {config.get('Handler')!r}")
        code = record.get("code_zip")
        if not code:
            raise ValueError("The function has no code.")
        directory = self._unpack(code, config["CodeSha256"])
        layers = tuple(str(path) for layer in config.get("Layers") or [] for path in self._layer(layer))
        role, name = config["Role"], config["FunctionName"]
        keys = {"aws:sourcearn": config["FunctionArn"]}
        return Spec(
            function=f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
            code=directory,
            layers=layers,
            libraries=self._libraries,
            timeout=float(config.get("Timeout") or 3),
            variables=tuple(sorted(self._variables(config, directory).items())),
            session=lambda: roles.assume(role, _SERVICE, name[:64], keys),
        )

    def _variables(self, config: dict[str, Any], code: Path) -> dict[str, str]:
        region = config["FunctionArn"].split(":")[3]
        own = dict((config.get("Environment") or {}).get("Variables") or {})
        return {
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **own,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
            "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": _group_name(config),
            "AWS_EC2_METADATA_DISABLED": "true",
            "LAMBDA_TASK_ROOT": str(code),
            "LAMBDA_RUNTIME_DIR": str(self._libraries),
            "_HANDLER": config["Handler"],
        }

    def _unpack(self, code: bytes, digest: str) -> Path:
        """Return the directory of a zip's content, which is unpacked once, atomically."""
        directory = self._home / "code" / digest.replace("/", "_").replace("=", "")
        with self._unpacking:
            if not directory.exists():
                temporary = directory.with_name(f".{secrets.token_hex(8)}")
                with zipfile.ZipFile(io.BytesIO(code)) as archive:
                    archive.extractall(temporary)
                    for entry in archive.infolist():
                        mode = (entry.external_attr >> 16) & 0o777
                        if mode and not entry.is_dir():
                            os.chmod(temporary / entry.filename, mode)
                temporary.replace(directory)
        return directory

    def _layer(self, attachment: Any) -> list[Path]:
        data = functions.layer(attachment)
        if data is None:
            return []
        directory = self._unpack(data, f"layer-{hashlib.sha256(data).hexdigest()}")
        return [directory / "python"]

    def _sweep(self) -> None:
        while not self._closed.wait(30):
            self._pool.sweep()


def _framed(config: dict[str, Any], request_id: str, text: str, error: bool, duration_ms: int) -> list[str]:
    """Return the lines of one invocation's log with the START, END and REPORT lines that Lambda adds."""
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms} ms",
        f"Billed Duration: {duration_ms} ms",
        f"Memory Size: {config.get('MemorySize', 128)} MB",
    ]
    if error:
        report.append("Status: error")
    return [
        f"START RequestId: {request_id} Version: {config.get('Version', '$LATEST')}",
        *text.splitlines(),
        f"END RequestId: {request_id}",
        "\t".join(report),
    ]


def _group_name(config: dict[str, Any]) -> str:
    group: str = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    return group
