/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel side: what it keeps, and where each program is.
 *
 * common  counters, wakeups, and what several programs read of a task
 * bucket  how many records one cgroup may have
 * siphash the hash of argv
 * exec    a program began: the gate, flood control, the record
 * exit    a process ended
 * fork    a process was made
 * runq    how long tasks waited for a CPU
 * task    all tasks in one read
 */
#include "kernel.bpf.h"
#include "event.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* EVENT_ABI comes from scripts/build-bpf. */
const volatile struct settings settings SEC(".rodata.settings") = { .abi = EVENT_ABI };

/* Sizes that depend on the number of CPUs are set by user space before load. */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/*
 * Where a record of variable length is put together; the stack has 512 bytes. The other members are here so that the
 * object's BTF describes the whole ABI to tests/kernel/test_abi.py.
 */
union any_event {
	struct exec_event exec;
	struct ancestor ancestor;
	struct exit_event exit;
	struct fork_event fork;
	struct task_record task;
	__u64 words[ARGV_HASHED_BYTES / 8 + 1];
	enum event_kind kind;
	enum exec_flags exec_flags;
	enum known_flags known_flags;
	enum failure failure;
	enum abilities abilities;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union any_event);
} scratch SEC(".maps");

/* The gate. Only user space inserts, so nothing is kept back before somebody has dealt with it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct identity);
	__type(value, struct known_program);
} known SEC(".maps");

/* Invocations of programs flagged always that need no record any more, with how often they were met. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct invocation);
	__type(value, __u64);
} invocations SEC(".maps");

/* Processes of which user space has an exec record: tgid to start_ns. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, __u64);
} tracked SEC(".maps");

/* The agent's processes. User space puts in the first ones, fork adds their children, exit takes them out. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct bucket);
} buckets SEC(".maps");

/*
 * By CPU in a plain array, not a per-CPU one: user space reads it by mmap without a system call, and the verifier
 * inlines the look-up, which for per-CPU arrays it only does since db69718b8efa "bpf: inline bpf_map_lookup_elem()
 * for PERCPU_ARRAY maps" (in v6.10).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct cpu_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct wait_histogram);
} waits SEC(".maps");

/* Cgroups whose waits are counted apart: inode of the cgroup v2 directory. User space inserts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct wait_histogram);
} cgroup_waits SEC(".maps");

/* How deep in the tree they are, a bit for each level; written by user space. 0: nobody looks for them. */
volatile __u32 followed_levels SEC(".data.followed") = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} abilities SEC(".maps");

#include "bucket.h"
#include "common.bpf.h"
#include "siphash.bpf.h"
#include "exec.bpf.h"
#include "exit.bpf.h"
#include "fork.bpf.h"
#include "runq.bpf.h"
#include "task.bpf.h"
