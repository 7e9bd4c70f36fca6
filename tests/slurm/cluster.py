"""A Slurm cluster of two nodes on this machine, on loopback, with a configuration of its own: for tests, and to try a profile by hand.

    python tests/slurm/cluster.py start /tmp/cluster      prints the lines that a shell needs to use it
    python tests/slurm/cluster.py stop /tmp/cluster

Needs Debian's slurmctld, slurmd, slurm-client and munge (or another distribution's), no database and no systemd. It runs as the user who
starts it. Node n1 is the default partition, cpu; node n2 the partition gpu, with two GPUs in name only. Jobs are killed for memory by Slurm's
accounting, which looks at them once a second.
"""

import argparse
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
NODES = ("n1", "n2")
CPUS, MEMORY_MB = 8, 24_000  # of each node, whatever the machine has
WAIT_SECONDS = 60

CONFIGURATION = """\
ClusterName=selfalign
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A job whose node failed waits for cred_expire seconds before it starts again (120 without this).
AuthInfo=socket={folder}/run/munge.sock,cred_expire=10
CredType=cred/munge
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# A node that was set down stays down until it is resumed.
ReturnToService=1
SchedulerParameters=batch_sched_delay=0,sched_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
# A job over its time limit is killed at the next look, and has a second to end by itself.
OverTimeLimit=0
KillWait=1
MinJobAge=7200
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} RealMemory={memory} State=UNKNOWN
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} Gres=gpu:2
PartitionName=cpu Nodes=n1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n2 MaxTime=INFINITE State=UP
"""


class ClusterError(Exception):
    """The cluster cannot be started or asked."""


def missing() -> list[str]:
    """Programs that the cluster needs and that are not on PATH."""
    return [program for program in PROGRAMS if _which(program) is None]


def environment(folder: Path) -> dict[str, str]:
    """What a process needs to be a client of the cluster in `folder`."""
    return {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def start(folder: Path) -> None:
    """Write the configuration into `folder`, start the three daemons, and wait until the node is idle."""
    if absent := missing():
        raise ClusterError(f"not on PATH: {', '.join(absent)}; on Debian: apt-get install slurmctld slurmd slurm-client munge")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("run", "log", "state", "spool", "bin"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o755)
    folder.chmod(0o755)
    values = {"folder": folder, "host": socket.gethostname().split(".")[0], "user": getpass.getuser(), "cpus": CPUS, "memory": MEMORY_MB}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**values, ports=_free_ports(1 + len(NODES))))
    (folder / "gres.conf").write_text("NodeName=n2 Name=gpu File=/dev/null\nNodeName=n2 Name=gpu File=/dev/zero\n")
    # The executor drops SLURM_CONF before it calls srun; a cluster with its configuration in /etc/slurm does not need this.
    wrapper = folder / "bin" / "srun"
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder / "slurm.conf"} exec {_which("srun")} "$@"\n')
    wrapper.chmod(0o755)
    key = folder / "munge.key"
    key.unlink(missing_ok=True)
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    run, log = folder / "run", folder / "log"
    munge = ["--key-file", key, "--socket", run / "munge.sock", "--pid-file", run / "munged.pid", "--log-file", log / "munged.log"]
    _run(_which("munged"), "--force", *munge, "--seed-file", folder / "munge.seed")
    _run(_which("slurmctld"), "-c", "-f", folder / "slurm.conf")
    for node in NODES:
        (folder / "spool" / node).mkdir(exist_ok=True)
        _run(_which("slurmd"), "-f", folder / "slurm.conf", "-N", node)
    if not wait_for(lambda: client(folder, "sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES)):
        stop(folder)
        raise ClusterError(f"the nodes did not come up in {WAIT_SECONDS} s; the daemons' logs are in {log}")


def stop(folder: Path) -> None:
    """Cancel all jobs and end the daemons that `start` began; quiet about those that are gone."""
    client(folder, "scancel", "--user", getpass.getuser())
    wait_for(lambda: not client(folder, "squeue", "-h").strip(), seconds=10)
    for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
        try:
            pid = int((folder / "run" / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            continue
        wait_for(lambda pid=pid: not _alive(pid), seconds=10)


def client(folder: Path, *command: str) -> str:
    """What one of Slurm's commands prints; nothing if it fails."""
    return subprocess.run(command, env=environment(folder), text=True, capture_output=True).stdout


def wait_for(condition, seconds: float = WAIT_SECONDS) -> bool:
    """Whether `condition()` came true within `seconds`."""
    end = time.monotonic() + seconds
    while not (reached := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return bool(reached)


def _which(program: str) -> str | None:
    # Daemons lie where an ordinary user's PATH does not look.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")


def _run(*command) -> None:
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, text=True, capture_output=True)
    if done.returncode:
        raise ClusterError(f"{Path(str(command[0])).name} does not start: {done.stderr.strip()}")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main() -> None:
    parser = argparse.ArgumentParser(description="Start or stop a Slurm cluster of two nodes on this machine.")
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=lambda text: Path(text).resolve(), help="where its configuration, sockets and logs lie")
    arguments = parser.parse_args()
    if arguments.action == "stop":
        stop(arguments.folder)
        return
    try:
        start(arguments.folder)
    except ClusterError as error:
        sys.exit(str(error))
    print(f'export SLURM_CONF={arguments.folder}/slurm.conf PATH="{arguments.folder}/bin:$PATH"')


if __name__ == "__main__":
    main()
