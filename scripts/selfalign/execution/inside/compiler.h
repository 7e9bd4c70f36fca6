/* ---- the compiler: a process that stays, and turns programs into what prepare.py says, without running anything of them ---- */

enum { COMPILER_PROGRAMS = 1000, COMPILER_MS = 2000 }; /* programs until a fresh process takes over; longest wait for one */

static int compiler = -1; /* our end of its socket */
static pid_t compiler_pid;
static int compiler_left;

static void end_compiler(void) {
    if (compiler < 0) return;
    close(compiler);
    compiler = -1;
    kill(compiler_pid, SIGKILL);
    while (waitpid(compiler_pid, NULL, 0) < 0 && errno == EINTR);
}

/* In the new process: answers until the socket closes. A program that does not compile here gets an empty answer. */
static void be_compiler(PyObject *compiled, int socket) {
    struct text text = {0};
    uint64_t size;
    while (!read_all(socket, &size, sizeof size) && !read_text(socket, size, &text)) {
        PyObject *bytes = PyBytes_FromStringAndSize(text.data, text.size), *found = bytes ? PyObject_CallFunctionObjArgs(compiled, bytes, NULL) : NULL;
        PyErr_Clear();
        size = found ? PyBytes_Size(found) : 0;
        if (write_all(socket, &size, sizeof size) || (found && write_all(socket, PyBytes_AsString(found), size))) break;
        if (found) Py_DecRef(found);
        if (bytes) Py_DecRef(bytes);
    }
    _exit(0);
}

static void start_compiler(PyObject *compiled, const struct job *job, int isolated) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return;
    compiler_pid = fork();
    if (compiler_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (dup2(pair[1], 0) < 0) _exit(96);
        if (syscall(SYS_close_range, 3, ~0U, 0)) for (int fd = 3; fd < 4096; fd++) close(fd);
        lower_rights(job->address_space, isolated);
        be_compiler(compiled, 0);
    }
    close(pair[1]);
    compiler = pair[0];
    compiler_left = COMPILER_PROGRAMS;
    if (compiler_pid < 0) {
        close(compiler);
        compiler = -1;
    }
}

/* `prepared` for `program`; empty if the compiler is lost over it or takes too long: the program's own process then compiles. */
static void compile_program(PyObject *compiled, const struct job *job, int isolated, const struct text *program, struct text *prepared) {
    free_text(prepared);
    if (compiler >= 0 && !compiler_left--) end_compiler();
    if (compiler < 0) start_compiler(compiled, job, isolated);
    if (compiler < 0) return;
    struct pollfd answer = {compiler, POLLIN, 0};
    uint64_t size = program->size;
    if (write_all(compiler, &size, sizeof size) || write_all(compiler, program->data, size) || poll(&answer, 1, COMPILER_MS) != 1 ||
        read_all(compiler, &size, sizeof size) || (size && read_text(compiler, size, prepared))) {
        end_compiler();
        free_text(prepared);
    }
}
