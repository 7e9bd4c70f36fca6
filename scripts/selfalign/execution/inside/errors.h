/* ---- errors that the tests' handlers, or unittest's runner, would swallow ---- */

/* Was it raised in the implementation, or in what that called? */
static int out_of_implementation(PyObject *error) {
    int last = 0;
    PyObject *traceback = PyObject_GetAttrString(error, "__traceback__");
    for (; traceback && traceback != &_Py_NoneStruct; traceback = next_entry(traceback)) {
        int where = place(traceback, NULL);
        if (where) last = where;
    }
    if (traceback) Py_DecRef(traceback);
    PyErr_Clear();
    return last == IN_IMPLEMENTATION;
}

static void swallow(PyObject *error, int line) {
    if (probing || RECORD.swallowed || !error || error == &_Py_NoneStruct) return;
    char name[64];
    PyObject *text = PyObject_GetAttrString(error->ob_type, "__name__");
    copy_text(name, sizeof name, text);
    if (text) Py_DecRef(text);
    int leaves = !strcmp(name, "SkipTest") || !strcmp(name, "Skipped") || PyErr_GivenExceptionMatches(error, PyExc_SystemExit);
    if (!strcmp(name, "_ShouldStop") || (leaves && !out_of_implementation(error))) return; /* the tests may skip and exit, nobody else */
    RECORD.swallowed = 1;
    RECORD.swallowed_line = line;
    memcpy(RECORD.swallowed_exception, name, sizeof name);
    if (PyErr_GivenExceptionMatches(error, PyExc_MemoryError)) RECORD.memory = 1;
}

/* Does a function of the tests check something itself? */
static int has_checks(PyObject *code) {
    for (Py_ssize_t i = PyList_Size(codes); i--;)
        if (PyTuple_GetItem(PyList_GetItem(codes, i), 0) == code) return PyLong_AsLong(PyTuple_GetItem(PyList_GetItem(codes, i), 2));
    return 0;
}

/* The line of the tests in which an exception arose. tests_only: 0 if it did not come out of a test of theirs, or another function that checks,
 * called from where it was caught */
static int line_of(PyObject *error, int tests_only) {
    int line = 0, from_test = 0;
    PyObject *traceback = PyObject_GetAttrString(error, "__traceback__");
    for (int depth = 0; traceback && traceback != &_Py_NoneStruct; depth++, traceback = next_entry(traceback)) {
        PyObject *code = NULL;
        if (place(traceback, &code) == IN_TESTS) {
            char name[8] = "";
            PyObject *text = PyObject_GetAttrString(code, "co_name");
            copy_text(name, sizeof name, text);
            if (text) Py_DecRef(text);
            if (depth == 1 && (!strncmp(name, "test", 4) || has_checks(code))) from_test = 1;
            line = number_of(traceback, "tb_lineno");
        }
        if (code) Py_DecRef(code);
    }
    if (traceback) Py_DecRef(traceback);
    PyErr_Clear();
    return from_test || !tests_only ? line : 0;
}

/* raised(checks): first in a handler of everything, which neither checks nor raises: whoever runs tests like that and swallows their errors.
 * checks: are there some in the body of its try, so that an error takes them away? */
static PyObject *guard_raised(PyObject *self, PyObject *args) {
    PyObject *type, *value, *traceback;
    int checks;
    if (!PyArg_ParseTuple(args, "i", &checks)) return NULL;
    only_from_tests();
    PyErr_GetExcInfo(&type, &value, &traceback);
    int line = value && value != &_Py_NoneStruct ? line_of(value, !checks) : 0;
    if (line) swallow(value, line);
    if (type) Py_DecRef(type);
    if (value) Py_DecRef(value);
    if (traceback) Py_DecRef(traceback);
    return NONE;
}

/* swallowed(error): unittest's runner is about to put it into a result, which perhaps nobody reads */
static PyObject *guard_swallowed(PyObject *self, PyObject *args) {
    PyObject *error;
    if (!PyArg_ParseTuple(args, "O", &error)) return NULL;
    if (running && started) swallow(error, line_of(error, 0));
    return NONE;
}
