/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process was made.
 *
 * It makes the agent's children the agent's own. Records are sent only with all_events: a shell that user space was
 * told of would otherwise cost two records for each known program it starts, which is what the gate saves. User space
 * loses nothing: an exec record brings its lineage along, and a child that lives on without exec is in the next
 * snapshot of all tasks.
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct cpu_counters *c = counters_here();
	__u32 parent_tgid = parent->tgid, tgid = child->tgid, pid = child->pid;
	struct fork_event e = {};
	__u8 yes = 1;

	if (!c || pid != tgid) /* a thread */
		return 0;
	COUNT(c->fork.seen);
	if (bpf_map_lookup_elem(&own, &parent_tgid)) {
		COUNT(c->fork.own);
		bpf_map_update_elem(&own, &tgid, &yes, BPF_ANY);
		return 0;
	}
	if (!settings.all_events) {
		COUNT(c->fork.known);
		return 0;
	}
	fill_header(&e.header, child, EVENT_FORK);
	e.parent_tgid = parent_tgid;
	e.parent_start_ns = parent->group_leader->start_boottime;
	if (send(c, &e, sizeof(e), false))
		COUNT(c->fork.failed);
	else
		COUNT(c->fork.submitted);
	return 0;
}
