/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program began: the gate, flood control, the record.
 *
 * sched_process_exec fires after the point of no return, once per successful execve, on every architecture. The new
 * mm is current by then, so argv is what the program will get, not what somebody may still change in the caller's
 * memory. When a thread that does not lead calls execve it has already taken over the leader's pid and start time.
 */

static __always_inline __u32 tty_of(struct task_struct *task)
{
	struct tty_struct *tty = task->signal->tty;
	struct tty_driver *driver;

	if (!tty)
		return 0;
	driver = tty->driver;
	if (!driver)
		return 0;
	return ((__u32)driver->major << 20) | (__u32)(driver->minor_start + tty->index);
}

static __always_inline __u32 sessionid_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->sessionid) ? task->sessionid : ~0U; /* no CONFIG_AUDIT */
}

static __always_inline __u32 loginuid_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->loginuid) ? task->loginuid.val : ~0U; /* no CONFIG_AUDIT */
}

/*
 * Overlayfs keeps its inode as struct inode with its own fields around it. The first one behind it, __upperdentry since
 * 09d8b586731b "ovl: move __upperdentry to ovl_inode" (in v4.13), is set once the file is in the upper layer. The type
 * is the module's, so its BTF is not the kernel's; the size of what comes before it is.
 */
static __always_inline bool is_in_overlay_upper(struct inode *inode)
{
	void *upper = NULL;

	if (inode->i_sb->s_magic != OVERLAYFS_SUPER_MAGIC)
		return false;
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + bpf_core_type_size(struct inode));
	return upper;
}

static __always_inline __u32 flags_of(struct linux_binprm *bprm, struct inode *inode)
{
	char name[8] = {};
	__u32 flags = 0;

	if (bprm->interp != bprm->filename)
		flags |= EXEC_SCRIPT;
	if (is_in_overlay_upper(inode))
		flags |= EXEC_OVERLAY_UPPER;
	if (inode->i_nlink)
		return flags;
	bpf_probe_read_kernel(name, sizeof(name), bprm->file->f_path.dentry->d_name.name);
	if (name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && name[3] == 'f' && name[4] == 'd' && name[5] == ':')
		flags |= EXEC_MEMFD;
	return flags | EXEC_UNLINKED;
}

/*
 * As exe_of() and fill_file_id(), by probe reads. Following typed pointers here, with their checks for NULL, gives the
 * verifier three ways through each of seven rounds: 105 ms at load instead of 22, for some 100 ns less per ancestor.
 */
static __always_inline void fill_exe(struct file_id *exe, struct task_struct *task, struct task_struct *leader)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct inode *inode;

	if (!mm)
		mm = BPF_CORE_READ(leader, mm);
	inode = BPF_CORE_READ(mm, exe_file, f_inode);
	exe->ino = BPF_CORE_READ(inode, i_ino);
	exe->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	exe->ctime_ns = read_ctime_ns(inode);
	exe->zero = 0;
}

/* Who started it, and who started that. Read before a short-lived parent is gone. */
static __always_inline __u32 fill_lineage(struct ancestor *lineage, struct task_struct *task)
{
	__u32 i;

	for (i = 0; i < LINEAGE_MAX; i++) {
		struct task_struct *parent = BPF_CORE_READ(task, real_parent);
		struct task_struct *leader = BPF_CORE_READ(parent, group_leader);
		struct ancestor *above = &lineage[i];

		above->tgid = BPF_CORE_READ(leader, tgid);
		if (!above->tgid) /* the idle task is the parent of init */
			break;
		above->start_ns = BPF_CORE_READ(leader, start_boottime);
		above->zero = 0;
		bpf_probe_read_kernel(above->comm, COMM_BYTES, leader->comm);
		fill_exe(&above->exe, parent, leader);
		task = leader;
	}
	return i;
}

static __always_inline bool admitted(struct cpu_counters *c, __u64 cgroup_id, __u64 now_ns)
{
	struct bucket empty = {}, *bucket;

	if (!settings.token_interval_ns)
		return true;
	bucket = bpf_map_lookup_elem(&buckets, &cgroup_id);
	if (!bucket) {
		bpf_map_update_elem(&buckets, &cgroup_id, &empty, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &cgroup_id);
	}
	if (!bucket) {
		COUNT(c->failures[FAILURE_BUCKET]);
		return true;
	}
	return take_token(bucket, now_ns, settings.token_interval_ns, settings.token_depth_ns);
}

/* Append filename and argv to the payload. The return value is the size of the record. */
static __always_inline __u64 fill_payload(struct cpu_counters *c, struct exec_event *e, struct task_struct *task,
					  struct linux_binprm *bprm)
{
	__u64 at = e->lineage_count * sizeof(struct ancestor);
	struct mm_struct *mm = task->mm;
	unsigned long start, bytes;
	long length;

	if (at > LINEAGE_MAX * sizeof(struct ancestor))
		return 0;
	length = bpf_probe_read_kernel_str(e->payload + at, FILENAME_BYTES, bprm->filename);
	if (length <= 0 || length > FILENAME_BYTES) {
		COUNT(c->failures[FAILURE_FILENAME_FAULT]);
		length = 1;
	}
	if (length == FILENAME_BYTES)
		e->flags |= EXEC_FILENAME_CUT;
	e->filename_bytes = length - 1;
	at += length - 1;

	start = mm->arg_start;
	bytes = mm->arg_end - start;
	e->argv_total_bytes = bytes;
	if (bytes > ARGV_BYTES)
		bytes = ARGV_BYTES;
	if (bytes && bpf_probe_read_user(e->payload + at, bytes, (void *)start)) {
		COUNT(c->failures[FAILURE_ARGV_FAULT]);
		e->flags |= EXEC_ARGV_FAULT;
		bytes = 0;
	}
	e->argv_bytes = bytes;
	return __builtin_offsetof(struct exec_event, payload) + at + bytes;
}

static __always_inline int send_exec(struct cpu_counters *c, struct task_struct *task, struct linux_binprm *bprm,
				     struct invocation *invocation, __u32 flags, bool urgent)
{
	union any_event *record = scratch_here();
	struct exec_event *e;
	__u64 size;

	if (!record)
		return -1;
	e = &record->exec;
	fill_header(&e->header, task, EVENT_EXEC);
	if (!admitted(c, e->header.cgroup_id, e->header.time_ns)) {
		COUNT(c->exec.suppressed);
		return 0;
	}
	e->exe = invocation->program.exe;
	e->argv_hash = invocation->argv_hash;
	e->uid = invocation->program.uid;
	e->euid = task->cred->euid.val;
	e->loginuid = loginuid_of(task);
	e->sessionid = sessionid_of(task);
	e->zero = 0;
	e->tty = tty_of(task);
	e->flags = flags | flags_of(bprm, bprm->file->f_inode);
	e->lineage_count = fill_lineage((struct ancestor *)e->payload, task);
	bpf_probe_read_kernel(e->comm, COMM_BYTES, task->comm);
	size = fill_payload(c, e, task, bprm);
	if (size > sizeof(*e) || send(c, e, size, urgent))
		return -1;
	COUNT(c->exec.submitted);
	if (bpf_map_update_elem(&tracked, &e->header.tgid, &e->header.start_ns, BPF_ANY))
		COUNT(c->failures[FAILURE_TRACK]);
	return 0;
}

static __always_inline void fill_identity(struct identity *identity, struct task_struct *task, struct linux_binprm *bprm)
{
	struct inode *parent = exe_of(task->real_parent);

	fill_file_id(&identity->exe, bprm->file->f_inode);
	if (parent) {
		identity->parent_ino = parent->i_ino;
		identity->parent_dev = parent->i_sb->s_dev;
	}
	identity->uid = task->cred->uid.val;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct cpu_counters *c = counters_here();
	struct invocation invocation = {};
	struct known_program *program;
	__u32 tgid = task->tgid;
	__u64 *met = NULL;
	bool always;

	if (!c)
		return 0;
	COUNT(c->exec.seen);
	if (bpf_map_lookup_elem(&own, &tgid)) {
		COUNT(c->exec.own);
		return 0;
	}
	fill_identity(&invocation.program, task, bprm);
	program = bpf_map_lookup_elem(&known, &invocation.program);
	if (program)
		COUNT(program->count);
	always = program && (program->flags & KNOWN_ALWAYS);
	if (always) {
		invocation.argv_hash = argv_hash_of(task);
		if (invocation.argv_hash)
			met = bpf_map_lookup_elem(&invocations, &invocation);
		if (met)
			COUNT(*met);
	}
	/*
	 * Known: no record. Unless user space believes that this process runs something else: a shell it was told of
	 * that now becomes this program. Otherwise it would blame the shell for what the program does.
	 */
	if (program && (!always || met) && !settings.all_events && !bpf_map_lookup_elem(&tracked, &tgid)) {
		COUNT(c->exec.known);
		return 0;
	}
	if (send_exec(c, task, bprm, &invocation, program ? EXEC_REMEMBERED : 0, !program || always))
		COUNT(c->exec.failed);
	return 0;
}
