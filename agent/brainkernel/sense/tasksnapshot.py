"""A snapshot of all tasks as one sample per process. Pure but for what it remembers from the snapshot before."""

from __future__ import annotations

from brainkernel.model import ProcessKey, TaskSample
from brainkernel.sense import wire


class TaskSnapshots:
    """Adds up threads, and makes each key and name only once while its process lives."""

    def __init__(self, page_bytes: int) -> None:
        """`page_bytes` is the host's page size, in which the kernel counts RSS."""
        self._page_bytes = page_bytes
        self._keys: dict[tuple[int, int], ProcessKey] = {}
        self._names: dict[bytes, str] = {}

    def samples_of(self, raw: bytes) -> list[TaskSample]:
        """Decode one snapshot. Raises wire.WireError when its end is missing."""
        leaders: list[wire.TaskRecord] = []
        threads: dict[int, tuple[int, int, int]] = {}
        for record in wire.task_records_of(raw):
            if record.pid == record.tgid:
                leaders.append(record)
            else:
                cpu_ns, delay_ns, pages = threads.get(record.tgid, (0, 0, 0))
                threads[record.tgid] = (cpu_ns + record.cpu_ns, delay_ns + record.run_delay_ns, max(pages, record.rss_pages))
        keys: dict[tuple[int, int], ProcessKey] = {}
        names: dict[bytes, str] = {}
        samples = [self._sample_of(record, threads.get(record.tgid), keys, names) for record in leaders]
        self._keys, self._names = keys, names
        return samples

    def _sample_of(
        self,
        record: wire.TaskRecord,
        threads: tuple[int, int, int] | None,
        keys: dict[tuple[int, int], ProcessKey],
        names: dict[bytes, str],
    ) -> TaskSample:
        identity = (record.tgid, record.start_ns)
        key = keys[identity] = self._keys.get(identity) or ProcessKey.at(*identity)
        name = names[record.comm] = self._names.get(record.comm) or wire.comm_of(record.comm)
        cpu_ns, delay_ns, pages = record.cpu_ns, record.run_delay_ns, record.rss_pages
        if threads is not None:
            cpu_ns += threads[0]
            delay_ns += threads[1]
            pages = max(pages, threads[2])  # a leader that has left no longer has the memory that its threads still use
        return TaskSample(
            key=key,
            ppid=record.parent_tgid,
            uid=record.uid,
            comm=name,
            cpu_ns=cpu_ns,
            run_delay_ns=delay_ns,
            rss_bytes=pages * self._page_bytes,
            cgroup_id=record.cgroup_id,
            reaped_ns=record.reaped_ns,
        )
