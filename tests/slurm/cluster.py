"""A Slurm cluster of one node on this machine, on loopback, with a configuration of its own: for tests, and to try a profile by hand.

    python tests/slurm/cluster.py start /tmp/cluster      prints the lines that a shell needs to use it
    python tests/slurm/cluster.py stop /tmp/cluster

Needs Debian's slurmctld, slurmd, slurm-client and munge (or another distribution's), no database and no systemd. It runs as the user who
starts it. The node has two GPUs in name only. Jobs are killed for memory by Slurm's accounting, which looks at them once a second.
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
CPUS, MEMORY_MB = 4, 12_000  # of the node, whatever the machine has
WAIT_SECONDS = 60

CONFIGURATION = """\
ClusterName=selfalign
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
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
MinJobAge=300
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def missing() -> list[str]:
    """Programs that the cluster needs and that are not on PATH."""
    return [program for program in PROGRAMS if _which(program) is None]


def environment(folder: Path) -> dict[str, str]:
    """What a process needs to be a client of the cluster in `folder`."""
    return {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def start(folder: Path) -> None:
    """Write the configuration into `folder`, start the three daemons, and wait until the node is idle."""
    if absent := missing():
        sys.exit(f"not on PATH: {', '.join(absent)}; on Debian: apt-get install slurmctld slurmd slurm-client munge")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("run", "log", "state", "spool", "bin"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o755)
    folder.chmod(0o755)
    values = {"folder": folder, "host": socket.gethostname().split(".")[0], "user": getpass.getuser(), "cpus": CPUS, "memory": MEMORY_MB}
    controller, daemon = _free_ports(2)
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**values, controller=controller, daemon=daemon))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
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
    _run(_which("slurmd"), "-f", folder / "slurm.conf", "-N", values["host"])
    if not wait_for(lambda: "idle" in client(folder, "sinfo", "-h", "-o", "%T", check=False)):
        stop(folder)
        sys.exit(f"the node did not come up in {WAIT_SECONDS} s; the daemons' logs are in {log}")


def stop(folder: Path) -> None:
    """Cancel all jobs and end the daemons that `start` began; quiet about those that are gone."""
    client(folder, "scancel", "--user", getpass.getuser(), check=False)
    wait_for(lambda: not client(folder, "squeue", "-h", check=False).strip(), seconds=10)
    for name in ("slurmd", "slurmctld", "munged"):
        try:
            pid = int((folder / "run" / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            continue
        wait_for(lambda pid=pid: not _alive(pid), seconds=10)


def client(folder: Path, *command: str, check: bool = True) -> str:
    """What one of Slurm's commands prints."""
    done = subprocess.run(command, env=environment(folder), text=True, capture_output=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


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
        sys.exit(f"{Path(str(command[0])).name} does not start: {done.stderr.strip()}")


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
    parser = argparse.ArgumentParser(description="Start or stop a Slurm cluster of one node on this machine.")
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=lambda text: Path(text).resolve(), help="where its configuration, sockets and logs lie")
    arguments = parser.parse_args()
    if arguments.action == "stop":
        stop(arguments.folder)
        return
    start(arguments.folder)
    print(f'export SLURM_CONF={arguments.folder}/slurm.conf PATH="{arguments.folder}/bin:$PATH"')


if __name__ == "__main__":
    main()
