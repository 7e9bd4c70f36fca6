/* ---- what the compiled tests call ---- */

/* doctest's runner is the one that may call sys.settrace: it sets what sys.gettrace said before. Whether that was nothing is looked at. */
static PyObject *doctest_run, *gettrace;
static int trace_watched;

static void no_trace(void) {
    if (!trace_watched) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *function = PyObject_CallFunctionObjArgs(gettrace, NULL);
    if (function != &_Py_NoneStruct) deny("sys.settrace");
    Py_DecRef(function);
    PyErr_Restore(type, value, traceback);
}

static int called_by_doctest(void) {
    PyObject *frame = PyEval_GetFrame(), *code = frame ? PyFrame_GetCode(frame) : NULL;
    int found = code && code == doctest_run;
    if (code) Py_DecRef(code);
    return found;
}

/* Is the caller the compiled test source itself? Everybody else who holds one of these objects took it from there. */
static void only_from_tests(void) {
    no_trace();
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

enum { DEEP = 2 }; /* how far lists and the like are looked into */
static int is_of_program(PyObject *value) { return (PyType_GetFlags(value->ob_type) & (1UL << 9)) != 0; } /* of a class of a program or library */

static PyObject *any_of_mock; /* type of unittest.mock.ANY, which tests put into what they expect */

/* strict: also if == gives an object of a class that is true; else that is an expression which somebody builds. */
static int equals_anything(PyObject *value, int strict, int depth) {
    PyObject *type = value->ob_type;
    if (type == &PyList_Type || type == &PyTuple_Type) {
        Py_ssize_t size = type == &PyList_Type ? PyList_Size(value) : PyTuple_Size(value);
        for (Py_ssize_t i = 0; depth && i < size && i < 64; i++)
            if (equals_anything(type == &PyList_Type ? PyList_GetItem(value, i) : PyTuple_GetItem(value, i), strict, depth - 1)) return 1;
        return 0;
    }
    if (type == &PyDict_Type || type == &PySet_Type || type == &PyFrozenSet_Type) {
        PyObject *values = !depth ? NULL : type == &PyDict_Type ? PyDict_Values(value) : PySequence_List(value);
        int found = values && equals_anything(values, strict, depth);
        if (values) Py_DecRef(values);
        PyErr_Clear();
        return found;
    }
    if (!is_of_program(value) || (type == any_of_mock && depth < DEEP)) return 0;
    PyObject *fresh = PyObject_CallFunctionObjArgs(&PyBaseObject_Type, NULL);
    Py_IncRef(value);
    PyObject *equal = fresh ? PyObject_RichCompare(value, fresh, PY_EQ) : NULL;
    int truth = equal && (strict || !is_of_program(equal)) ? PyObject_IsTrue(equal) : 0;
    Py_DecRef(value);
    if (equal) Py_DecRef(equal);
    if (fresh) Py_DecRef(fresh);
    PyErr_Clear();
    return truth > 0;
}

/* value(x, line, strict): x, which the tests are about to compare; noted if it equals a fresh object, and so anything.
 * strict: is the comparison itself what an assert asserts? */
static PyObject *guard_value(PyObject *self, PyObject *args) {
    PyObject *value;
    int line, strict;
    if (!PyArg_ParseTuple(args, "Oii", &value, &line, &strict)) return NULL;
    Py_IncRef(value);
    if (equals_anything(value, strict, DEEP) && !RECORD.vacuous_line) RECORD.vacuous_line = line;
    return value;
}

/* The assertion functions of unittest and other libraries, and what they are made of; see seal() in zygote.py.
 * genuine: list of (function, kind). sealed: list of (mapping or object, name, value), None for the size of a mapping. */
enum kind { PLAIN, RAISES, FAIL };
static PyObject *genuine, *sealed, *managers; /* managers: list of the types of what RAISES functions return for a with statement */

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
    int kind = genuine_kind(function);
    for (Py_ssize_t i = 0; kind >= 0 && i < size - 3; i++)
        if (equals_anything(PyTuple_GetItem(rest, i), 1, DEEP) && !RECORD.vacuous_line) RECORD.vacuous_line = line;
    /* assertRaises(error, function, ...) and its like call the function; without one they only wait for a with statement. */
    int calls = size - 3 >= 2 && (PyCallable_Check(PyTuple_GetItem(rest, 1)) || (size - 3 >= 3 && PyCallable_Check(PyTuple_GetItem(rest, 2))));
    PyObject *result = PyObject_Call(function, rest, kwargs);
    Py_DecRef(rest);
    if (kind >= 0 && !seal_unbroken()) { RECORD.patched = 1; kind = -1; }
    if (kind < 0) return result;
    if (!result) {
        if (kind == FAIL || PyErr_ExceptionMatches(PyExc_AssertionError)) failed_at(line);
    } else if (kind == RAISES && block) {
        count(&RECORD.opened);
    } else if (kind == PLAIN || (kind == RAISES && calls)) {
        count(&RECORD.checks);
    }
    return result;
}

/* block(manager, number): a manager that a with statement opens by its name: perhaps what pytest.raises gave before */
static PyObject *guard_block(PyObject *self, PyObject *args) {
    PyObject *manager;
    int number, expects = 0;
    if (!PyArg_ParseTuple(args, "Oi", &manager, &number)) return NULL;
    only_from_tests();
    for (Py_ssize_t i = PyList_Size(managers); !expects && i--;) expects = PyList_GetItem(managers, i) == manager->ob_type;
    if (expects && !seal_unbroken()) {
        RECORD.patched = 1;
        expects = 0;
    }
    if (number >= 0 && number < TESTS_MAX && expects) {
        page->blocks[number] = 1;
        count(&RECORD.opened);
    }
    Py_IncRef(manager);
    return manager;
}

/* closed(number): after a with statement that expects an exception; reached only if the exception came. number: of its block(), -1 for none */
static PyObject *guard_closed(PyObject *self, PyObject *args) {
    int number;
    if (!PyArg_ParseTuple(args, "i", &number)) return NULL;
    only_from_tests();
    if (number >= 0 && (number >= TESTS_MAX || !page->blocks[number])) return NONE;
    if (number >= 0) page->blocks[number] = 0;
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
