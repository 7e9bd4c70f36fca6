/* ---- running a program ---- */

/* Does an exit at `line` leave nothing behind? pairs: see Instrumented.codes. */
static int is_end(PyObject *pairs, int line) {
    if (pairs == &_Py_NoneStruct) return 1;
    for (Py_ssize_t i = PyTuple_Size(pairs); i--;) {
        PyObject *pair = PyTuple_GetItem(pairs, i);
        if (PyLong_AsLong(PyTuple_GetItem(pair, 0)) <= line && line <= PyLong_AsLong(PyTuple_GetItem(pair, 1))) return 1;
    }
    return 0;
}

/* Did an exit through `traceback` leave nothing behind in any frame of the tests? */
static int nothing_left(PyObject *traceback) {
    int left = 0, seen = 0;
    Py_IncRef(traceback);
    for (; traceback && traceback != &_Py_NoneStruct; traceback = next_entry(traceback)) {
        PyObject *code = NULL;
        int line = number_of(traceback, "tb_lineno");
        if (place(traceback, &code) == IN_TESTS) {
            seen = 1;
            for (Py_ssize_t i = PyList_Size(codes); i--;) {
                PyObject *item = PyList_GetItem(codes, i);
                if (PyTuple_GetItem(item, 0) == code && !is_end(PyTuple_GetItem(item, 1), line)) left = 1;
            }
        }
        if (code) Py_DecRef(code);
    }
    if (traceback) Py_DecRef(traceback);
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

/* run(implementation, tests, globals, codes, hollow or None, finish, required, unittest, tools): never returns.
 * required: numbers of test functions that must have been entered in the end. unittest: are there test classes? tools: see checks.h */
static PyObject *guard_run(PyObject *self, PyObject *args) {
    PyObject *implementation, *tests, *globals, *list, *hollow, *finish, *required;
    int unittest;
    if (started) deny("called the runner");
    if (!PyArg_ParseTuple(args, "OOOOOOOiO", &implementation, &tests, &globals, &list, &hollow, &finish, &required, &unittest, &tools)) return NULL;
    started = 1;
    codes = list;
    Py_IncRef(codes);
    Py_IncRef(tools);
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
    no_trace();
    if (getpid() != page->main_pid) _exit(0);
    find_liars();
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
        if (!strcmp(event, "open") || !strcmp(event, "os.listdir") || !strcmp(event, "os.scandir") || !strcmp(event, "os.chdir")) {
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
        if (!strcmp(event, "sys.settrace")) {
            if (!called_by_doctest()) deny("sys.settrace");
            trace_watched = 1;
            no_trace();
        }
        if (!strcmp(event, "socket.connect") || !strcmp(event, "socket.getaddrinfo") || !strcmp(event, "socket.gethostbyname") ||
            !strcmp(event, "socket.gethostbyaddr") || !strcmp(event, "socket.sendto"))
            note("network");
        break;
    }
    return 0;
}
