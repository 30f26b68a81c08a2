"""The settings files and command lines of a small Flink cluster on one machine: memory, ports, restarts, logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .distribution import HERE, Distribution

SLOTS = 4
"""Task slots per task manager: one task manager alone can run a job of parallelism 4 when the other dies."""

OPENED = "java.lang java.net java.io java.nio java.lang.reflect java.text java.time java.util java.util.concurrent \
java.util.concurrent.atomic java.util.concurrent.locks sun.nio.ch"
"""Packages of java.base that Flink reads by reflection. Source: `env.java.opts.all` of Flink's own configuration."""

JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED.split())]  # fmt: skip

LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} %m%n
"""


@dataclass(frozen=True)
class Ports:
    """Ports on loopback: Flink's web page, its RPC, Beam's job service, its artifacts."""

    web: int = 8081
    rpc: int = 6123
    job: int = 8099
    artifact: int = 8098


@dataclass(frozen=True)
class Member:
    """One process of the cluster. With `again`, it is started anew when it ends, as Kubernetes does."""

    name: str
    command: list[str]
    again: bool = False


def flink_settings(ports: Ports, folder: Path) -> str:
    """Flink's configuration file. A dead task manager is noticed within seconds, and a job is tried again often."""
    return f"""\
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {ports.rpc}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {ports.web}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: {SLOTS}
taskmanager.cpu.cores: 1.0
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.task.heap.size: 512m
taskmanager.memory.framework.off-heap.size: 64m
taskmanager.memory.task.off-heap.size: 128m
taskmanager.memory.managed.size: 192m
taskmanager.memory.network.min: 192m
taskmanager.memory.network.max: 192m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
parallelism.default: {SLOTS}
classloader.resolve-order: parent-first
cluster.registration.error-delay: 1000
cluster.evenly-spread-out-slots: true
heartbeat.interval: 1000
heartbeat.timeout: 8000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 20
restart-strategy.fixed-delay.delay: 5 s
io.tmp.dirs: {folder / "tmp"}
web.upload.dir: {folder / "uploads"}
"""


def members(found: Distribution, ports: Ports, folder: Path, task_managers: int) -> list[Member]:
    """The processes of a cluster, in the order to start them. Writes their settings files to the folder."""
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "conf" / "config.yaml").write_text(flink_settings(ports, folder))
    (folder / "conf" / "log4j.properties").write_text(LOGGING)
    options = [*JAVA[1:], f"-Dlog4j.configurationFile={folder / 'conf' / 'log4j.properties'}"]
    path = ["-cp", found.class_path]
    flink, configured = "org.apache.flink.runtime", ["--configDir", str(folder / "conf")]
    manager = ["java", "-Xmx640m", "-XX:MaxMetaspaceSize=256m", *options, *path,
               f"{flink}.entrypoint.StandaloneSessionClusterEntrypoint", *configured]  # fmt: skip
    worker = ["java", "-Xmx640m", "-XX:MaxDirectMemorySize=400m", "-XX:MaxMetaspaceSize=256m", *options, *path,
              f"{flink}.taskexecutor.TaskManagerRunner", *configured]  # fmt: skip
    [small] = found.flink.glob("log4j-slf4j-impl-*.jar")
    service = ["java", "-Xmx384m", *options, *path, str(HERE / "JobService.java"), str(small),
               f"--flink-master=127.0.0.1:{ports.web}", f"--artifacts-dir={folder / 'artifacts'}",
               "--job-host=127.0.0.1", f"--job-port={ports.job}", f"--artifact-port={ports.artifact}",
               "--expansion-port=0"]  # fmt: skip
    return [
        Member("job-manager", manager),
        *(Member(f"task-manager-{at}", [*worker, f"-Dtaskmanager.resource-id=tm{at}"], again=True)
          for at in range(1, task_managers + 1)),
        Member("job-service", service),
    ]  # fmt: skip
