/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The little of the kernel that our programs read. Written by hand instead of a generated vmlinux.h: 120 lines to
 * review instead of 150,000, the same for x86 and arm64, and no bpftool at build time. The order of fields means
 * nothing: libbpf looks each one up by name in the running kernel's BTF (CO-RE).
 *
 * Where kernels differ there is a second struct with a ___suffix (CO-RE ignores it), a bpf_core_field_exists(), and
 * the commit that made the difference. Never a version number: distributions backport.
 */
#ifndef BRAINKERNEL_KERNEL_BPF_H
#define BRAINKERNEL_KERNEL_BPF_H

typedef unsigned char __u8;
typedef signed short __s16;
typedef unsigned short __u16;
typedef signed int __s32;
typedef unsigned int __u32;
typedef signed long long __s64;
typedef unsigned long long __u64;
/* bpf_helper_defs.h declares helpers with these; none of ours uses them. */
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

typedef int pid_t;
typedef _Bool bool;
enum { false = 0, true = 1 };
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0, BPF_RB_CONS_POS = 2 };

/* include/linux/sched.h */
enum { PF_KTHREAD = 0x00200000, TASK_RUNNING = 0 };
/* include/uapi/linux/magic.h */
enum { OVERLAYFS_SUPER_MAGIC = 0x794c7630 };
/* include/linux/mm_types_task.h */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct list_head {
	struct list_head *next;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	__s64 i_ctime_sec;
	__u32 i_ctime_nsec;
};

/* 13bc24457850 "fs: rename i_ctime field to __i_ctime" (in v6.6) */
struct inode___i_ctime {
	struct timespec64 i_ctime;
};

/* 3aa63a569c64 "fs: switch timespec64 fields in inode to discrete integers" (in v6.11) */
struct inode_____i_ctime {
	struct timespec64 __i_ctime;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};

/* f1a7941243c1 "mm: convert mm's rss stats into percpu_counter" (in v6.2) */
struct percpu_counter {
	__s64 count;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
	struct percpu_counter rss_stat[4];
};

struct mm_rss_stat {
	atomic_long_t count[4];
};

struct mm_struct___rss_atomic {
	struct mm_rss_stat rss_stat;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cred {
	kuid_t uid;
	kuid_t euid;
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	int index;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	struct tty_struct *tty;
	unsigned long long sum_sched_runtime;
	__u64 cutime;
	__u64 cstime;
	unsigned long maxrss;
	struct list_head thread_head;
};

struct rq {
	__u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct task_struct {
	unsigned int flags;
	unsigned int __state;
	pid_t pid;
	pid_t tgid;
	int exit_code;
	__u64 start_boottime;
	struct sched_entity se;
	struct sched_info sched_info;
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct list_head thread_node;
	const struct cred *cred;
	struct css_set *cgroups;
	kuid_t loginuid;
	unsigned int sessionid;
	char comm[16];
};

/* 2f064a59a11f "sched: Change task_struct::state" (in v5.14) */
struct task_struct___state {
	volatile long state;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
