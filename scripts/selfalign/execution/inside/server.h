/* ---- the fork server ---- */

/* RUN: a program follows. AGAIN: the program that came last. STOP: end program `number`, if it still runs. */
enum order { RUN, AGAIN, STOP };
struct job { /* execution/worker.py writes it: keep both alike */
    uint64_t number, size;      /* size: bytes of the program that follow */
    uint64_t address_space;     /* bytes */
    uint64_t file_size;         /* bytes */
    uint32_t cpu_seconds, wall_ms, processes, files;
    uint32_t order, control;    /* control: is it the negative control? */
};
struct answer { /* execution/record.py reads it */
    uint64_t number, output;
    int32_t stop, status; /* why it was ended, and its wait status */
    double cpu, wall;
    struct record record;
};

static int read_all(int fd, void *data, size_t size) {
    while (size) {
        ssize_t n = read(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        data = (char *)data + n;
        size -= n;
    }
    return 0;
}

static int write_all(int fd, const void *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        data = (const char *)data + n;
        size -= n;
    }
    return 0;
}

/* Bytes in memory of their own, so that they leave no trace in the heap that programs inherit. */
struct text { char *data; uint64_t size; };

static void free_text(struct text *text) {
    if (text->data) munmap(text->data, text->size + 1);
    *text = (struct text){0};
}

static int read_text(int fd, uint64_t size, struct text *text) {
    free_text(text);
    char *data = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return -1;
    *text = (struct text){data, size};
    return read_all(fd, data, size);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* First process of a program's process namespace: shares our memory, does nothing but bury orphans with system calls. Its end ends all. */
static int bury(void *unused) {
    for (;;)
        if (syscall(SYS_wait4, -1, NULL, __WALL, NULL) < 0) syscall(SYS_ppoll, NULL, 0, &(struct timespec){0, 50000000}, NULL, 0);
    return 0;
}

static void limit(int what, uint64_t soft) {
    struct rlimit old, new = {soft, soft};
    if (!getrlimit(what, &old) && old.rlim_max != RLIM_INFINITY && soft > old.rlim_max) new.rlim_cur = new.rlim_max = old.rlim_max;
    if (setrlimit(what, &new)) _exit(96);
}

static void drop_capabilities(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none)) _exit(96);
}

static struct sock_filter *program_filter;
static unsigned short program_filter_size;

/* of a process that handles a program's text or runs it */
static void lower_rights(uint64_t address_space, int isolated) {
    limit(RLIMIT_AS, address_space);
    if (!isolated) return;
    drop_capabilities();
    struct sock_fprog filter = {program_filter_size, program_filter};
    if (program_filter_size && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) _exit(96);
}

/* in the new process, before any of the program's own code */
static void become_program(const struct job *job, int output, int isolated) {
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) _exit(96);
    if (syscall(SYS_close_range, 3, ~0U, 0)) for (int fd = 3; fd < 4096; fd++) close(fd);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, job->cpu_seconds);
    limit(RLIMIT_FSIZE, job->file_size);
    limit(RLIMIT_NOFILE, job->files);
    limit(RLIMIT_NPROC, job->processes);
    limit(RLIMIT_MEMLOCK, 1 << 20);
    lower_rights(job->address_space, isolated);
    if (chdir(getenv("TMPDIR"))) _exit(96);
    signal(SIGPIPE, SIG_IGN);
}

/* Makes a folder as it was: empty, whatever lies in it, and with its own permissions. Non-empty folders are moved up, not walked into. */
static void empty_folder(int folder) {
    char attributes[4096];
    ssize_t length = flistxattr(folder, attributes, sizeof attributes);
    for (ssize_t at = 0; at < length; at += strlen(attributes + at) + 1) fremovexattr(folder, attributes + at);
    fchmod(folder, 01777);
    for (int round = 0, moved = 1, name = 0; moved && round < 100000; round++) {
        moved = 0;
        int fd = dup(folder);
        char buffer[32768];
        ssize_t n;
        lseek(fd, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
            for (ssize_t at = 0; at < n;) {
                struct entry { uint64_t ino; int64_t off; unsigned short reclen; unsigned char type; char name[]; } *entry = (void *)(buffer + at);
                at += entry->reclen;
                if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..")) continue;
                if (!unlinkat(folder, entry->name, 0) || !unlinkat(folder, entry->name, AT_REMOVEDIR)) continue;
                if (errno == EBUSY) continue; /* a mount of ours */
                int inner = openat(folder, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (inner < 0) {
                    fchmodat(folder, entry->name, 0700, 0);
                    moved = 1;
                    continue;
                }
                fchmod(inner, 0700);
                char inside[4096];
                ssize_t m;
                while ((m = syscall(SYS_getdents64, inner, inside, sizeof inside)) > 0)
                    for (ssize_t b = 0; b < m;) {
                        struct entry *deep = (void *)(inside + b);
                        b += deep->reclen;
                        if (!strcmp(deep->name, ".") || !strcmp(deep->name, "..") || !unlinkat(inner, deep->name, 0)) continue;
                        char up[32];
                        snprintf(up, sizeof up, ".up%d", name++);
                        fchmodat(inner, deep->name, 0700, 0);
                        renameat(inner, deep->name, folder, up);
                    }
                close(inner);
                moved = 1;
            }
        close(fd);
    }
}

#include "compiler.h"

/* serve(socket, isolated, folder, folder, compiled): answers jobs until the socket closes. Returns only in the process of a program, with
 * (program, what compiled(program) gave, is it the negative control?). */
static PyObject *guard_serve(PyObject *self, PyObject *args) {
    int socket, isolated, folders[2];
    PyObject *compiled;
    struct text program = {0}, prepared = {0};
    if (running) deny("called the runner");
    if (!PyArg_ParseTuple(args, "iiiiO", &socket, &isolated, &folders[0], &folders[1], &compiled)) return NULL;
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int own = isolated ? syscall(SYS_pidfd_open, getpid(), 0) : -1;
    if (page == MAP_FAILED || stack == MAP_FAILED || (isolated && own < 0)) return PyErr_SetFromErrno(PyExc_OSError);
    for (;;) {
        struct job job;
        if (read_all(socket, &job, sizeof job)) _exit(0);
        if (job.order == STOP) continue; /* to stop a program that has ended meanwhile */
        if (job.order == RUN) {
            if (read_text(socket, job.size, &program)) _exit(95);
            compile_program(compiled, &job, isolated, &program, &prepared);
        }
        memset(page, 0, sizeof *page);
        struct answer answer = {.number = job.number};
        int output = syscall(SYS_memfd_create, "output", 0);
        if (output < 0) _exit(95);
        fcntl(output, F_SETFL, O_APPEND);
        pid_t init = 0;
        if (isolated) {
            init = clone(bury, stack + 65536, CLONE_VM | CLONE_NEWPID | SIGCHLD, NULL);
            int fd = init < 0 ? -1 : syscall(SYS_pidfd_open, init, 0);
            if (fd < 0 || syscall(SYS_setns, fd, CLONE_NEWPID)) _exit(95);
            close(fd);
        }
        double start = now();
        /* Python is not told: it has one thread here, and its own preparations touch so much memory that a fork takes twice the time. */
        pid_t child = fork();
        if (child == 0) {
            page->main_pid = getpid();
            become_program(&job, output, isolated);
            running = 1;
            PyObject *bytes = PyBytes_FromStringAndSize(program.data, program.size);
            PyObject *found = PyBytes_FromStringAndSize(prepared.data, prepared.size);
            free_text(&program);
            free_text(&prepared);
            return bytes && found ? PyTuple_Pack(3, bytes, found, PyBool_FromLong(job.control)) : NULL;
        }
        if (isolated && syscall(SYS_setns, own, CLONE_NEWPID)) _exit(95);
        int watch = child < 0 ? -1 : syscall(SYS_pidfd_open, child, 0);
        if (watch < 0) _exit(95);
        double end = start + job.wall_ms / 1000.0;
        for (;;) {
            struct pollfd polls[2] = {{watch, POLLIN, 0}, {socket, POLLIN, 0}};
            double left = end - now();
            if (left <= 0) {
                answer.stop = STOPPED_WALL;
                break;
            }
            if (poll(polls, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR) _exit(95);
            if (polls[0].revents) break;
            if (polls[1].revents) { /* the host wants it stopped, or is gone */
                struct job order;
                if (read_all(socket, &order, sizeof order) || order.order != STOP) _exit(0);
                if (order.number == job.number) {
                    answer.stop = STOPPED_HOST;
                    break;
                }
            }
        }
        close(watch);
        struct rusage usage = {{0}};
        if (answer.stop) kill(child, SIGKILL);
        if (init) kill(init, SIGKILL);
        else kill(-child, SIGKILL);
        while (wait4(child, &answer.status, 0, &usage) < 0 && errno == EINTR);
        if (init) while (waitpid(init, NULL, __WALL) < 0 && errno == EINTR);
        answer.wall = now() - start;
        answer.cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
        struct stat stat;
        answer.output = fstat(output, &stat) ? 0 : stat.st_size;
        answer.record = RECORD;
        close(output);
        for (int i = 0; i < 2; i++)
            if (folders[i] >= 0) empty_folder(folders[i]);
        if (write_all(socket, &answer, sizeof answer)) _exit(0);
    }
}
