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
struct page { struct record record; int32_t main_pid; unsigned char entered[TESTS_MAX], blocks[TESTS_MAX]; };

static struct page *page;
static int running;     /* in a program's process */
static int started;     /* run() was called: it works once */
static PyObject *codes; /* list of (code of the tests, pairs of lines: see Instrumented.codes) */

#define RECORD (page->record)

/* while a value is asked whether it lies (see checks.h), what it calls is no check */
static __thread int probing;

/* Only what the program's first process does proves anything: its children may be ended at any moment. */
static void count(int32_t *n) {
    if (!probing && getpid() == page->main_pid) __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
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

/* The entry after one of a traceback, whose reference it takes; None or NULL after the last. */
static PyObject *next_entry(PyObject *traceback) {
    PyObject *next = PyObject_GetAttrString(traceback, "tb_next");
    Py_DecRef(traceback);
    PyErr_Clear();
    return next;
}
