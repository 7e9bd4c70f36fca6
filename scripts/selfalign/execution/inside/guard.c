/* The part of the execution filter that programs cannot reach from Python.
 *
 * Loaded by the fork server inside a sandbox (zygote.py). It forks one process per program, in a process namespace of its own, and keeps
 * the program's record in shared memory that only C code knows the address of. The compiled tests call the objects below at each
 * check; a call from any other code is an attempt to forge and ends the program as `denied`.
 *
 * Python.h is not needed (many machines have Python without it): everything used is declared here, from the stable ABI.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* ---- the stable ABI of Python, as far as it is used ---- */

typedef ssize_t Py_ssize_t;
typedef struct _object { Py_ssize_t ob_refcnt; struct _object *ob_type; } PyObject;
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef struct { const char *ml_name; PyCFunction ml_meth; int ml_flags; const char *ml_doc; } PyMethodDef;
typedef struct {
    struct { PyObject ob_base; PyObject *(*m_init)(void); Py_ssize_t m_index; PyObject *m_copy; } m_base;
    const char *m_name; const char *m_doc; Py_ssize_t m_size; PyMethodDef *m_methods; void *m_slots, *m_traverse, *m_clear, *m_free;
} PyModuleDef;
enum { METH_VARARGS = 1, METH_KEYWORDS = 2, METH_O = 8 };
enum { PY_EQ = 2 };
extern PyObject PyBaseObject_Type, PyLong_Type, PyUnicode_Type, PyFloat_Type, PyList_Type, PyTuple_Type, PyBool_Type, PyBytes_Type, PyDict_Type;
extern PyObject _Py_NoneStruct;
extern PyObject *PyExc_AssertionError, *PyExc_SystemExit, *PyExc_MemoryError, *PyExc_OSError, *PyExc_PermissionError, *PyExc_RuntimeError;
void Py_IncRef(PyObject *);
void Py_DecRef(PyObject *);
PyObject *PyModule_Create2(PyModuleDef *, int);
int PyArg_ParseTuple(PyObject *, const char *, ...);
PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t);
PyObject *PyBool_FromLong(long);
PyObject *PyLong_FromLong(long);
long PyLong_AsLong(PyObject *);
PyObject *PyUnicode_AsUTF8String(PyObject *);
char *PyBytes_AsString(PyObject *);
Py_ssize_t PyBytes_Size(PyObject *);
PyObject *PyTuple_GetItem(PyObject *, Py_ssize_t);
Py_ssize_t PyTuple_Size(PyObject *);
PyObject *PyTuple_GetSlice(PyObject *, Py_ssize_t, Py_ssize_t);
PyObject *PyList_GetItem(PyObject *, Py_ssize_t);
Py_ssize_t PyList_Size(PyObject *);
PyObject *PyObject_Call(PyObject *, PyObject *, PyObject *);
PyObject *PyObject_CallFunctionObjArgs(PyObject *, ...);
PyObject *PyObject_GetAttrString(PyObject *, const char *);
PyObject *PyObject_GetAttr(PyObject *, PyObject *);
PyObject *PyObject_GetItem(PyObject *, PyObject *);
Py_ssize_t PyObject_Size(PyObject *);
PyObject *PyObject_RichCompare(PyObject *, PyObject *, int);
int PyObject_IsTrue(PyObject *);
PyObject *PyErr_Occurred(void);
void PyErr_Clear(void);
void PyErr_Fetch(PyObject **, PyObject **, PyObject **);
void PyErr_Restore(PyObject *, PyObject *, PyObject *);
void PyErr_NormalizeException(PyObject **, PyObject **, PyObject **);
int PyErr_ExceptionMatches(PyObject *);
int PyErr_GivenExceptionMatches(PyObject *, PyObject *);
void PyErr_GetExcInfo(PyObject **, PyObject **, PyObject **);
void PyErr_SetString(PyObject *, const char *);
PyObject *PyErr_SetFromErrno(PyObject *);
PyObject *PyEval_EvalCode(PyObject *, PyObject *, PyObject *);
PyObject *PyEval_GetFrame(void);
PyObject *PyFrame_GetCode(PyObject *);
unsigned long PyType_GetFlags(PyObject *);
int PySys_AddAuditHook(int (*)(const char *, PyObject *, void *), void *);

#define NONE (Py_IncRef(&_Py_NoneStruct), &_Py_NoneStruct)

/* ---- the record of one program, shared between its processes and the fork server ---- */

enum stage { PREPARING, IMPLEMENTATION, TESTS, REMAINING, COMPLETE };
enum outcome { NOTHING, EXCEPTION, SYNTAX_ERROR, NO_CODE, NO_TESTS, EXIT };
enum where { SOMEWHERE, IN_IMPLEMENTATION, IN_TESTS };
enum stop { ENDED, STOPPED_WALL, STOPPED_HOST };

#define TESTS_MAX 2048

struct record { /* execution/record.py reads it: keep both alike */
    int32_t stage, checks, failed, failed_line;
    int32_t vacuous_line, denied, noted, patched;
    int32_t outcome, where, line, error_number, memory;
    int32_t swallowed, swallowed_line; /* an exception that ended a test although nobody else saw it */
    int32_t opened, closed;            /* expected-exception blocks */
    char exception[64], swallowed_exception[64], denied_detail[64], noted_detail[64];
};
struct page { struct record record; int32_t main_pid; unsigned char entered[TESTS_MAX]; };

static struct page *page;
static int running;     /* in a program's process */
static int started;     /* run() was called: it works once */
static PyObject *codes; /* list of (code of the tests, first line, last line that still does something) */

#define RECORD (page->record)
/* Only what the program's first process does proves anything: its children may be ended at any moment. */
static void count(int32_t *n) {
    if (getpid() == page->main_pid) __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static void copy_text(char *to, size_t size, PyObject *text) {
    PyObject *bytes = text ? PyUnicode_AsUTF8String(text) : NULL;
    const char *from = bytes ? PyBytes_AsString(bytes) : "?";
    snprintf(to, size, "%s", from ? from : "?");
    if (bytes) Py_DecRef(bytes);
    PyErr_Clear();
}

/* ends the program: it reached for what only an attack needs */
static void deny(const char *detail) {
    if (!running) return;
    if (!__atomic_exchange_n(&RECORD.denied, 1, __ATOMIC_SEQ_CST)) snprintf(RECORD.denied_detail, sizeof RECORD.denied_detail, "%s", detail);
    _exit(97);
}

/* remembers that the program tried something that cannot work here: it explains a later failure */
static void note(const char *detail) {
    if (!__atomic_exchange_n(&RECORD.noted, 1, __ATOMIC_SEQ_CST)) snprintf(RECORD.noted_detail, sizeof RECORD.noted_detail, "%s", detail);
}

/* ---- what the compiled tests call ---- */

/* Is the caller the compiled test source itself? Everybody else who holds one of these objects took it from there. */
static void only_from_tests(void) {
    PyObject *frame = PyEval_GetFrame(), *code = frame ? PyFrame_GetCode(frame) : NULL;
    int found = 0;
    if (code && codes)
        for (Py_ssize_t i = PyList_Size(codes); !found && i--;) found = PyTuple_GetItem(PyList_GetItem(codes, i), 0) == code;
    if (code) Py_DecRef(code);
    if (!found) deny("called the recorder of checks");
}

static void failed_at(int line) {
    count(&RECORD.checks);
    if (__atomic_add_fetch(&RECORD.failed, 1, __ATOMIC_SEQ_CST) == 1) RECORD.failed_line = line;
}

/* check(condition, line): the condition of an assert, as True or False */
static PyObject *guard_check(PyObject *self, PyObject *args) {
    PyObject *condition;
    int line;
    if (!PyArg_ParseTuple(args, "Oi", &condition, &line)) return NULL;
    only_from_tests();
    int truth = PyObject_IsTrue(condition);
    if (truth < 0) return NULL;
    if (truth) count(&RECORD.checks);
    else failed_at(line);
    return PyBool_FromLong(truth);
}

static int equals_anything(PyObject *value, int depth) {
    PyObject *type = value->ob_type;
    if (type == &PyList_Type || type == &PyTuple_Type) {
        Py_ssize_t size = type == &PyList_Type ? PyList_Size(value) : PyTuple_Size(value);
        for (Py_ssize_t i = 0; depth && i < size && i < 64; i++)
            if (equals_anything(type == &PyList_Type ? PyList_GetItem(value, i) : PyTuple_GetItem(value, i), depth - 1)) return 1;
        return 0;
    }
    if (!(PyType_GetFlags(type) & (1UL << 9))) return 0; /* not a class made by a program or library */
    PyObject *fresh = PyObject_CallFunctionObjArgs(&PyBaseObject_Type, NULL);
    Py_IncRef(value);
    PyObject *equal = fresh ? PyObject_RichCompare(value, fresh, PY_EQ) : NULL;
    int truth = equal ? PyObject_IsTrue(equal) : 0;
    Py_DecRef(value);
    if (equal) Py_DecRef(equal);
    if (fresh) Py_DecRef(fresh);
    PyErr_Clear();
    return truth > 0;
}

/* value(x, line): x, which a check is about to compare; noted if it equals a fresh object, and so anything */
static PyObject *guard_value(PyObject *self, PyObject *args) {
    PyObject *value;
    int line;
    if (!PyArg_ParseTuple(args, "Oi", &value, &line)) return NULL;
    Py_IncRef(value);
    if (equals_anything(value, 2) && !RECORD.vacuous_line) RECORD.vacuous_line = line;
    return value;
}

/* The assertion functions of unittest and other libraries, and what they are made of; see seal() in zygote.py.
 * genuine: list of (function, kind). sealed: list of (mapping or object, name, value), None for the size of a mapping. */
enum kind { PLAIN, RAISES, FAIL };
static PyObject *genuine, *sealed;

static int seal_unbroken(void) {
    PyObject *type, *value, *traceback;
    int unbroken = 1;
    PyErr_Fetch(&type, &value, &traceback);
    for (Py_ssize_t i = PyList_Size(sealed); unbroken && i--;) {
        PyObject *item = PyList_GetItem(sealed, i), *holder = PyTuple_GetItem(item, 0), *name = PyTuple_GetItem(item, 1), *value = PyTuple_GetItem(item, 2);
        PyObject *now;
        int same;
        if (name == &_Py_NoneStruct) {
            same = PyObject_Size(holder) == PyLong_AsLong(value);
        } else {
            int attribute = PyLong_AsLong(PyTuple_GetItem(item, 3));
            now = attribute ? PyObject_GetAttr(holder, name) : PyObject_GetItem(holder, name);
            same = now == value;
            if (now) Py_DecRef(now);
        }
        PyErr_Clear();
        unbroken = same;
    }
    PyErr_Restore(type, value, traceback);
    return unbroken;
}

static int genuine_kind(PyObject *function) {
    int kind = -1;
    PyObject *inner = PyObject_GetAttrString(function, "__func__");
    PyErr_Clear();
    PyObject *wanted = inner ? inner : function;
    for (Py_ssize_t i = PyList_Size(genuine); kind < 0 && i--;) {
        PyObject *item = PyList_GetItem(genuine, i);
        if (PyTuple_GetItem(item, 0) == wanted) kind = PyLong_AsLong(PyTuple_GetItem(item, 1));
    }
    if (inner) Py_DecRef(inner);
    if (kind >= 0 && !seal_unbroken()) {
        RECORD.patched = 1;
        return -1;
    }
    return kind;
}

/* call(function, line, block, *args, **kwargs): a call that looks like a library's assertion; block: it opens a with statement */
static PyObject *guard_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    only_from_tests();
    PyObject *function = PyTuple_GetItem(args, 0);
    int line = PyLong_AsLong(PyTuple_GetItem(args, 1)), block = PyLong_AsLong(PyTuple_GetItem(args, 2));
    Py_ssize_t size = PyTuple_Size(args);
    PyObject *rest = PyTuple_GetSlice(args, 3, size);
    if (!rest) return NULL;
    for (Py_ssize_t i = 0; i < size - 3; i++)
        if (equals_anything(PyTuple_GetItem(rest, i), 2) && !RECORD.vacuous_line) RECORD.vacuous_line = line;
    int kind = genuine_kind(function);
    PyObject *result = PyObject_Call(function, rest, kwargs);
    Py_DecRef(rest);
    if (kind >= 0 && !seal_unbroken()) { RECORD.patched = 1; kind = -1; }
    if (kind < 0) return result;
    if (!result) {
        if (kind == FAIL || PyErr_ExceptionMatches(PyExc_AssertionError)) failed_at(line);
    } else if (kind == RAISES && block) {
        count(&RECORD.opened);
    } else if (kind == PLAIN || (kind == RAISES && size - 3 >= 2)) {
        count(&RECORD.checks);
    }
    return result;
}

/* closed(): after a with statement that expects an exception; reached only if the exception came */
static PyObject *guard_closed(PyObject *self, PyObject *args) {
    only_from_tests();
    if (RECORD.opened > RECORD.closed) {
        count(&RECORD.closed);
        count(&RECORD.checks);
    }
    return NONE;
}

/* caught(): first in a handler of a try whose body or else fails when no exception comes */
static PyObject *guard_caught(PyObject *self, PyObject *args) {
    only_from_tests();
    count(&RECORD.checks);
    return NONE;
}

/* fail(line): before a statement that fails such a try */
static PyObject *guard_fail(PyObject *self, PyObject *args) {
    int line;
    if (!PyArg_ParseTuple(args, "i", &line)) return NULL;
    only_from_tests();
    failed_at(line);
    return NONE;
}

/* enter(number): first in each test function */
static PyObject *guard_enter(PyObject *self, PyObject *args) {
    int number;
    if (!PyArg_ParseTuple(args, "i", &number)) return NULL;
    only_from_tests();
    if (number >= 0 && number < TESTS_MAX) page->entered[number] = 1;
    return NONE;
}

static PyObject *guard_entered(PyObject *self, PyObject *args) {
    int number;
    if (!PyArg_ParseTuple(args, "i", &number)) return NULL;
    return PyBool_FromLong(number >= 0 && number < TESTS_MAX && page->entered[number]);
}

/* raised(line): in a handler around the body of a unittest test method, because unittest's runner swallows exceptions */
static PyObject *guard_raised(PyObject *self, PyObject *args) {
    int line;
    PyObject *type, *value, *traceback;
    if (!PyArg_ParseTuple(args, "i", &line)) return NULL;
    only_from_tests();
    PyErr_GetExcInfo(&type, &value, &traceback);
    char name[64] = "?";
    PyObject *text = value ? PyObject_GetAttrString(value->ob_type, "__name__") : NULL;
    copy_text(name, sizeof name, text);
    if (text) Py_DecRef(text);
    if (strcmp(name, "SkipTest") && strcmp(name, "Skipped") && !RECORD.swallowed) {
        RECORD.swallowed = 1;
        RECORD.swallowed_line = line;
        memcpy(RECORD.swallowed_exception, name, sizeof name);
        if (value && PyErr_GivenExceptionMatches(value, PyExc_MemoryError)) RECORD.memory = 1;
    }
    if (type) Py_DecRef(type);
    if (value) Py_DecRef(value);
    if (traceback) Py_DecRef(traceback);
    return NONE;
}

/* ---- running a program ---- */

/* file name of the code that a traceback entry stands for: 'i' implementation, 't' tests, 0 other */
static int place(PyObject *traceback, PyObject **code_out) {
    int where = 0;
    PyObject *frame = PyObject_GetAttrString(traceback, "tb_frame"), *code = frame ? PyFrame_GetCode(frame) : NULL;
    PyObject *file = code ? PyObject_GetAttrString(code, "co_filename") : NULL;
    char name[32] = "";
    if (file) copy_text(name, sizeof name, file);
    if (!strcmp(name, "<implementation>")) where = IN_IMPLEMENTATION;
    if (!strcmp(name, "<tests>")) where = IN_TESTS;
    if (file) Py_DecRef(file);
    if (code_out) *code_out = code;
    else if (code) Py_DecRef(code);
    if (frame) Py_DecRef(frame);
    PyErr_Clear();
    return where;
}

static int number_of(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    int number = value ? (int)PyLong_AsLong(value) : 0;
    if (value) Py_DecRef(value);
    PyErr_Clear();
    return number;
}

/* Did an exit through `traceback` leave nothing behind in any frame of the tests? */
static int nothing_left(PyObject *traceback) {
    int left = 0, seen = 0;
    Py_IncRef(traceback);
    while (traceback && traceback != &_Py_NoneStruct) {
        PyObject *code = NULL;
        int line = number_of(traceback, "tb_lineno");
        if (place(traceback, &code) == IN_TESTS) {
            seen = 1;
            for (Py_ssize_t i = PyList_Size(codes); i--;) {
                PyObject *item = PyList_GetItem(codes, i);
                if (PyTuple_GetItem(item, 0) == code && line < PyLong_AsLong(PyTuple_GetItem(item, 1))) left = 1;
            }
        }
        if (code) Py_DecRef(code);
        PyObject *next = PyObject_GetAttrString(traceback, "tb_next");
        Py_DecRef(traceback);
        traceback = next;
    }
    if (traceback) Py_DecRef(traceback);
    PyErr_Clear();
    return seen && !left;
}

/* The current exception goes into the record. Returns 1 if it is an exit with success after everything ran. */
static int take_exception(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyErr_Clear();
    if (getpid() != page->main_pid) return 0;
    if (value && PyErr_GivenExceptionMatches(value, PyExc_SystemExit)) {
        PyObject *code = PyObject_GetAttrString(value, "code");
        PyErr_Clear();
        int success = !code || code == &_Py_NoneStruct || ((code->ob_type == &PyLong_Type || code->ob_type == &PyBool_Type) && PyLong_AsLong(code) == 0);
        if (success && RECORD.stage >= TESTS && traceback && nothing_left(traceback)) return 1;
        if (success) {
            RECORD.outcome = EXIT;
            return 0;
        }
    }
    RECORD.outcome = EXCEPTION;
    if (!value) return 0;
    PyObject *name = PyObject_GetAttrString(value->ob_type, "__name__");
    copy_text(RECORD.exception, sizeof RECORD.exception, name);
    if (PyErr_GivenExceptionMatches(value, PyExc_MemoryError)) RECORD.memory = 1;
    if (PyErr_GivenExceptionMatches(value, PyExc_OSError)) {
        PyObject *number = PyObject_GetAttrString(value, "errno");
        RECORD.error_number = number && number->ob_type == &PyLong_Type ? PyLong_AsLong(number) : -1;
        PyErr_Clear();
    }
    for (int i = 0; traceback && traceback != &_Py_NoneStruct && i < 100000; i++) {
        int where = place(traceback, NULL);
        if (where) {
            RECORD.where = where;
            RECORD.line = number_of(traceback, "tb_lineno");
        }
        traceback = PyObject_GetAttrString(traceback, "tb_next");
    }
    PyErr_Clear();
    return 0;
}

/* end(outcome, where, line, name): the program cannot even start (syntax, nothing to run) */
static PyObject *guard_end(PyObject *self, PyObject *args) {
    int outcome, where, line;
    const char *name;
    if (started) deny("called the runner");
    if (!PyArg_ParseTuple(args, "iiis", &outcome, &where, &line, &name)) return NULL;
    RECORD.outcome = outcome;
    RECORD.where = where;
    RECORD.line = line;
    if (!strcmp(name, "MemoryError")) RECORD.memory = 1;
    snprintf(RECORD.exception, sizeof RECORD.exception, "%s", name);
    _exit(0);
    return NONE;
}

/* run(implementation, tests, globals, codes, hollow or None, finish, required, unittest): never returns.
 * required: numbers of test functions that must have been entered in the end. unittest: are there test classes? */
static PyObject *guard_run(PyObject *self, PyObject *args) {
    PyObject *implementation, *tests, *globals, *list, *hollow, *finish, *required;
    int unittest;
    if (started) deny("called the runner");
    if (!PyArg_ParseTuple(args, "OOOOOOOi", &implementation, &tests, &globals, &list, &hollow, &finish, &required, &unittest)) return NULL;
    started = 1;
    codes = list;
    Py_IncRef(codes);
    PyObject *finish_code = PyObject_GetAttrString(finish, "__code__");
    RECORD.stage = IMPLEMENTATION;
    if (!PyEval_EvalCode(implementation, globals, globals)) {
        take_exception();
        _exit(1);
    }
    if (hollow != &_Py_NoneStruct && !PyObject_CallFunctionObjArgs(hollow, globals, NULL)) {
        take_exception();
        _exit(1);
    }
    RECORD.stage = TESTS;
    if (!PyEval_EvalCode(tests, globals, globals) && !take_exception()) _exit(1);
    RECORD.stage = REMAINING;
    PyObject *code = PyObject_GetAttrString(finish, "__code__");
    if (code != finish_code) deny("replaced the runner");
    if (!PyObject_CallFunctionObjArgs(finish, globals, NULL) && !take_exception()) _exit(1);
    for (Py_ssize_t i = PyTuple_Size(required); i--;) {
        long number = PyLong_AsLong(PyTuple_GetItem(required, i));
        if (number < TESTS_MAX && !page->entered[number]) RECORD.patched = 1;
    }
    if (unittest && !seal_unbroken()) RECORD.patched = 1;
    if (getpid() != page->main_pid) _exit(0);
    RECORD.stage = COMPLETE;
    _exit(0);
    return NONE;
}

/* ---- events that Python reports to us before they happen ---- */

static int audit(const char *event, PyObject *args, void *data) {
    static __thread int from_buffer;
    if (!running || !started) return 0;
    switch (event[0]) {
    case 'c':
        if (!strncmp(event, "ctypes.", 7)) {
            const char *what = event + 7;
            if (!strcmp(what, "dlopen")) {
                if (PyTuple_GetItem(args, 0) != &_Py_NoneStruct) deny(event);
            } else if (!strcmp(what, "cdata/buffer")) {
                from_buffer = 1; /* multiprocessing.Value; the event of the address follows */
            } else if (!strcmp(what, "cdata") && from_buffer) {
                from_buffer = 0;
            } else if (!strcmp(what, "dlsym") || !strcmp(what, "dlsym/handle") || !strcmp(what, "cdata") || !strcmp(what, "call_function") ||
                       !strcmp(what, "string_at") || !strcmp(what, "wstring_at") || !strcmp(what, "PyObj_FromPtr"))
                deny(event);
        }
        break;
    case 'o':
        if (!strcmp(event, "open")) {
            PyObject *path = PyTuple_GetItem(args, 0);
            if (path && path->ob_type == &PyBytes_Type) Py_IncRef(path);
            else path = path && path->ob_type == &PyUnicode_Type ? PyUnicode_AsUTF8String(path) : NULL;
            const char *text = path ? PyBytes_AsString(path) : NULL;
            if (text && text[0] == '/') {
                size_t length = strlen(text);
                if (strstr(text, "proc/") && length > 4 && !strcmp(text + length - 4, "/mem")) deny("open of /proc/.../mem");
                static const char *private[] = {"/proc", "/sys", "/etc", "/root", "/home", "/var", "/boot", "/run"};
                for (size_t i = 0; i < sizeof private / sizeof *private; i++)
                    if (!strncmp(text, private[i], strlen(private[i])) && access(text, R_OK)) note(text);
            }
            if (path) Py_DecRef(path);
            PyErr_Clear();
        }
        break;
    case 's':
        if (!strcmp(event, "sys.settrace")) deny("sys.settrace");
        if (!strcmp(event, "socket.connect") || !strcmp(event, "socket.getaddrinfo") || !strcmp(event, "socket.gethostbyname") ||
            !strcmp(event, "socket.gethostbyaddr") || !strcmp(event, "socket.sendto"))
            note("network");
        break;
    }
    return 0;
}

/* ---- the fork server ---- */

struct job { /* execution/worker.py writes it: keep both alike */
    uint64_t number, size;      /* size: bytes of the program that follow; none: stop program `number`, if it still runs */
    uint64_t address_space;     /* bytes */
    uint64_t file_size;         /* bytes */
    uint32_t cpu_seconds, wall_ms, processes, files;
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
    limit(RLIMIT_AS, job->address_space);
    if (isolated) {
        drop_capabilities();
        struct sock_fprog filter = {program_filter_size, program_filter};
        if (program_filter_size && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) _exit(96);
    }
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

/* serve(socket, isolated, folder, folder): answers jobs until the socket closes. Returns only in the process of a program, with its bytes. */
static PyObject *guard_serve(PyObject *self, PyObject *args) {
    int socket, isolated, folders[2];
    if (running) deny("called the runner");
    if (!PyArg_ParseTuple(args, "iiii", &socket, &isolated, &folders[0], &folders[1])) return NULL;
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int own = isolated ? syscall(SYS_pidfd_open, getpid(), 0) : -1;
    if (page == MAP_FAILED || stack == MAP_FAILED || (isolated && own < 0)) return PyErr_SetFromErrno(PyExc_OSError);
    for (;;) {
        struct job job;
        if (read_all(socket, &job, sizeof job)) _exit(0);
        if (!job.size) continue; /* to stop a program that has ended meanwhile */
        char *program = mmap(NULL, job.size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (program == MAP_FAILED || read_all(socket, program, job.size)) _exit(95);
        struct answer answer = {.number = job.number};
        memset(page, 0, sizeof *page);
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
            PyObject *bytes = PyBytes_FromStringAndSize(program, job.size);
            munmap(program, job.size + 1);
            return bytes;
        }
        if (isolated && syscall(SYS_setns, own, CLONE_NEWPID)) _exit(95);
        munmap(program, job.size + 1);
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
                if (read_all(socket, &order, sizeof order) || order.size) _exit(0);
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

/* setup(genuine, sealed, filter): once, before serve */
static PyObject *guard_setup(PyObject *self, PyObject *args) {
    PyObject *filter;
    if (running) deny("called the runner");
    if (!PyArg_ParseTuple(args, "OOO", &genuine, &sealed, &filter)) return NULL;
    Py_IncRef(genuine);
    Py_IncRef(sealed);
    program_filter_size = PyBytes_Size(filter) / sizeof *program_filter;
    program_filter = malloc(PyBytes_Size(filter) + 1);
    memcpy(program_filter, PyBytes_AsString(filter), PyBytes_Size(filter));
    PySys_AddAuditHook(audit, NULL);
    return NONE;
}

static PyMethodDef methods[] = {
    {"setup", guard_setup, METH_VARARGS, NULL},
    {"serve", guard_serve, METH_VARARGS, NULL},
    {"run", guard_run, METH_VARARGS, NULL},
    {"end", guard_end, METH_VARARGS, NULL},
    {"check", guard_check, METH_VARARGS, NULL},
    {"value", guard_value, METH_VARARGS, NULL},
    {"call", (PyCFunction)(void *)guard_call, METH_VARARGS | METH_KEYWORDS, NULL},
    {"closed", guard_closed, METH_VARARGS, NULL},
    {"caught", guard_caught, METH_VARARGS, NULL},
    {"fail", guard_fail, METH_VARARGS, NULL},
    {"enter", guard_enter, METH_VARARGS, NULL},
    {"entered", guard_entered, METH_VARARGS, NULL},
    {"raised", guard_raised, METH_VARARGS, NULL},
    {0},
};
static PyModuleDef definition = {.m_base = {.ob_base = {1, NULL}}, .m_name = "guard", .m_size = -1, .m_methods = methods};
PyObject *PyInit_guard(void) { return PyModule_Create2(&definition, 1013); }
