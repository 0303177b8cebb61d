"""Starts and stops the two kinds of server on loopback: "apache" (apache/up) or the path of a gantry binary."""
import contextlib
import pathlib
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent


def listening(port, process, log, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"does not listen on {port}: {log.read_text(errors='replace')[-2000:]}")


class Gantry:
    def __init__(self, folder, label, command, port):
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{label}.out"
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            listening(port, self.process, log)
        except RuntimeError:
            self.stop(kill=True)
            raise

    def stop(self, kill=False):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.process.wait(timeout=60)


class Apache:
    def __init__(self, folder, *arguments):
        self.folder = folder
        subprocess.run([HERE / "apache" / "up", folder, *arguments], check=True)

    def stop(self, kill=False):
        subprocess.run([HERE / "apache" / "down", self.folder, *(["--kill"] if kill else [])], check=True)


def namesrv(kind, folder, port):
    """A name server alone."""
    if kind == "apache":
        return Apache(folder, "--port-base", str(port), "--no-broker")
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "namesrv.conf"
    conf.write_text(f"listenPort={port}\nbindAddress=127.0.0.1\nkvConfigPath={folder}/kv.json\nconfigStorePath={folder}/namesrv.properties\n")
    return Gantry(folder, "namesrv", [kind, "namesrv", "-c", str(conf)], port)


def broker(kind, folder, namesrv_address, port, settings):
    """A broker alone on `port`, registered with the name server."""
    pairs = {"listenPort": port, "haListenPort": port + 1, **settings}
    if kind == "apache":
        return Apache(folder, "--port-base", str(port - 20), "--namesrv", namesrv_address,
                      *(word for key, value in pairs.items() for word in ("--set", f"{key}={value}")))
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "broker.conf"
    pairs = {"brokerClusterName": "DefaultCluster", "brokerName": "broker-a", "brokerId": 0, "brokerRole": "ASYNC_MASTER",
             "brokerIP1": "127.0.0.1", "bindAddress": "127.0.0.1", "flushDiskType": "ASYNC_FLUSH", "autoCreateTopicEnable": "true",
             "storePathRootDir": folder / "store", "storePathCommitLog": folder / "store" / "commitlog", **pairs}
    conf.write_text("".join(f"{key}={value}\n" for key, value in pairs.items()))
    return Gantry(folder, "broker", [kind, "broker", "-n", namesrv_address, "-c", str(conf)], port)


@contextlib.contextmanager
def running(*nodes):
    """Stops what was started, the last first."""
    try:
        yield
    finally:
        for node in reversed(nodes):
            node.stop()
