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
    if (probing) return;
    count(&RECORD.checks);
    if (__atomic_add_fetch(&RECORD.failed, 1, __ATOMIC_SEQ_CST) == 1) RECORD.failed_line = line;
}

/* Do all of `list` have the values that they had? Items: (mapping or object, name, value, is it an attribute?), None for the size of a mapping. */
static int unbroken(PyObject *list) {
    PyObject *type, *value, *traceback;
    int same = 1;
    PyErr_Fetch(&type, &value, &traceback);
    for (Py_ssize_t i = PyList_Size(list); same && i--;) {
        PyObject *item = PyList_GetItem(list, i), *holder = PyTuple_GetItem(item, 0), *name = PyTuple_GetItem(item, 1), *value = PyTuple_GetItem(item, 2);
        if (name == &_Py_NoneStruct) {
            same = PyObject_Size(holder) == PyLong_AsLong(value);
        } else {
            int attribute = PyLong_AsLong(PyTuple_GetItem(item, 3));
            PyObject *now = attribute ? PyObject_GetAttr(holder, name) : PyObject_GetItem(holder, name);
            same = now == value;
            if (now) Py_DecRef(now);
        }
        PyErr_Clear();
    }
    PyErr_Restore(type, value, traceback);
    return same;
}

static PyObject *tools; /* list, as for unbroken(): builtins and comparing functions that these tests name */

/* check(condition, line): the condition of an assert, as True or False */
static PyObject *guard_check(PyObject *self, PyObject *args) {
    PyObject *condition;
    int line;
    if (!PyArg_ParseTuple(args, "Oi", &condition, &line)) return NULL;
    only_from_tests();
    if (!unbroken(tools)) RECORD.patched = 1;
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
    int outer = probing;
    probing = 1;
    Py_IncRef(value);
    PyObject *equal = fresh ? PyObject_RichCompare(value, fresh, PY_EQ) : NULL;
    int truth = equal && (strict || !is_of_program(equal)) ? PyObject_IsTrue(equal) : 0;
    probing = outer;
    Py_DecRef(value);
    if (equal) Py_DecRef(equal);
    if (fresh) Py_DecRef(fresh);
    PyErr_Clear();
    return truth > 0;
}

/* What a value is used for in a comparison, on whichever side: ==, <, >, <=, >=, as what `in` and `not in` look into. */
enum use { EQUAL = 1, LESS = 2, GREATER = 4, AT_MOST = 8, AT_LEAST = 16, CONTAINS = 32, LACKS = 64 };
enum { USED_MAX = 64 };
static struct used { PyObject *value; int line, strict, uses; } used[USED_MAX];
static int used_count;

/* Objects of the program's classes that were ordered or looked into: find_liars() asks them at the end, lest their answers change the program. */
static void remember(PyObject *value, int line, int strict, int uses) {
    if (!(uses & ~EQUAL) || !is_of_program(value)) return;
    int i = 0;
    while (i < used_count && used[i].value != value) i++;
    if (i == USED_MAX) return;
    if (i == used_count) {
        Py_IncRef(value);
        used[used_count++] = (struct used){value, line, strict, 0};
    }
    used[i].uses |= uses;
}

/* 1 if `left op right` is true, 0 if it is false, -1 if it is neither */
static int says(PyObject *left, PyObject *right, int op, int strict) {
    PyObject *answer = PyObject_RichCompare(left, right, op);
    int truth = !answer || (!strict && answer->ob_type != &PyBool_Type) ? -1 : PyObject_IsTrue(answer);
    if (answer) Py_DecRef(answer);
    PyErr_Clear();
    return truth;
}

/* Is it before a stranger, without denying that it is after it? An infinity denies it. */
static int orders_as_asked(const struct used *item, PyObject *stranger) {
    static const int orders[][3] = {{LESS, PY_LT, PY_GT}, {GREATER, PY_GT, PY_LT}, {AT_MOST, PY_LE, PY_GE}, {AT_LEAST, PY_GE, PY_LE}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if ((item->uses & orders[i][0]) && says(item->value, stranger, orders[i][1], item->strict) == 1 &&
            says(item->value, stranger, orders[i][2], item->strict) != 0) return 1;
    return 0;
}

/* Has it a stranger in it, by a method of its own, in tests that never asked whether something is not in one of its kind? */
static int contains_anything(const struct used *item, PyObject *stranger) {
    if (!(item->uses & CONTAINS)) return 0;
    for (int i = 0; i < used_count; i++)
        if (used[i].value->ob_type == item->value->ob_type && (used[i].uses & LACKS)) return 0;
    PyObject *method = PyObject_GetAttrString((PyObject *)item->value->ob_type, "__contains__");
    int found = method && method != &_Py_NoneStruct && PySequence_Contains(item->value, stranger) == 1;
    if (method) Py_DecRef(method);
    PyErr_Clear();
    return found;
}

static PyObject *strangers; /* list of objects that no program has seen */

static void find_liars(void) {
    probing = 1;
    for (int i = 0; i < used_count && !RECORD.vacuous_line; i++) {
        int orders = 1, contains = 1;
        for (Py_ssize_t k = PyList_Size(strangers); k--;) {
            PyObject *stranger = PyList_GetItem(strangers, k);
            orders = orders && orders_as_asked(&used[i], stranger);
            contains = contains && contains_anything(&used[i], stranger);
        }
        if (orders || contains) RECORD.vacuous_line = used[i].line;
    }
    probing = 0;
}

/* value(x, line, strict, uses): x, which the tests are about to compare; noted if it equals a fresh object, and so anything.
 * strict: is the comparison itself what an assert asserts? */
static PyObject *guard_value(PyObject *self, PyObject *args) {
    PyObject *value;
    int line, strict, uses;
    if (!PyArg_ParseTuple(args, "Oiii", &value, &line, &strict, &uses)) return NULL;
    Py_IncRef(value);
    if ((uses & EQUAL) && equals_anything(value, strict, DEEP) && !RECORD.vacuous_line) RECORD.vacuous_line = line;
    remember(value, line, strict, uses);
    return value;
}

/* The assertion functions of unittest and other libraries, and what they are made of; see seal() in zygote.py.
 * genuine: list of (function, kind, uses of its first and of its second argument). sealed: list, as for unbroken(). */
enum kind { PLAIN, RAISES, FAIL, EQUALITY, CALLED }; /* CALLED: of mocks, whose arguments are what the tests expect, ANY among it */
static PyObject *genuine, *sealed, *managers; /* managers: list of the types of what RAISES functions return for a with statement */

static int seal_unbroken(void) { return unbroken(sealed) && unbroken(tools); }

/* The item of `genuine` for a function or bound method, NULL for any other. */
static PyObject *find_genuine(PyObject *function) {
    PyObject *found = NULL, *inner = PyObject_GetAttrString(function, "__func__");
    PyErr_Clear();
    PyObject *wanted = inner ? inner : function;
    for (Py_ssize_t i = PyList_Size(genuine); !found && i--;) {
        PyObject *item = PyList_GetItem(genuine, i);
        if (PyTuple_GetItem(item, 0) == wanted) found = item;
    }
    if (inner) Py_DecRef(inner);
    return found;
}

/* assertEqual(first, second) has passed: does it do so whatever the second is, because the test case brought its own equality function? */
static int own_equality_lies(PyObject *method, PyObject *first, PyObject *second) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    probing = 1;
    PyObject *test = PyObject_GetAttrString(method, "__self__"), *chooser = test ? PyObject_GetAttrString(test, "_getAssertEqualityFunc") : NULL;
    PyObject *equality = chooser ? PyObject_CallFunctionObjArgs(chooser, first, second, NULL) : NULL;
    PyObject *fresh = equality && !find_genuine(equality) ? PyObject_CallFunctionObjArgs(&PyBaseObject_Type, NULL) : NULL;
    PyErr_Clear();
    PyObject *passed = fresh ? PyObject_CallFunctionObjArgs(equality, first, fresh, NULL) : NULL;
    int lies = passed != NULL;
    PyObject *used[] = {test, chooser, equality, fresh, passed};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        if (used[i]) Py_DecRef(used[i]);
    PyErr_Clear();
    probing = 0;
    PyErr_Restore(type, value, traceback);
    return lies;
}

static void look_at_arguments(PyObject *item, PyObject *arguments, int line) {
    for (Py_ssize_t i = 0; i < PyTuple_Size(arguments); i++) {
        PyObject *value = PyTuple_GetItem(arguments, i);
        if (equals_anything(value, 1, DEEP) && !RECORD.vacuous_line) RECORD.vacuous_line = line;
        if (i < 2) remember(value, line, 1, PyLong_AsLong(PyTuple_GetItem(item, 2 + i)));
    }
}

/* call(function, line, how, *args, **kwargs): a call that looks like a library's assertion. how: 1 if it opens a with statement, plus 2 if the
 * source says that it is pytest's */
static PyObject *guard_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    only_from_tests();
    PyObject *function = PyTuple_GetItem(args, 0);
    int line = PyLong_AsLong(PyTuple_GetItem(args, 1)), how = PyLong_AsLong(PyTuple_GetItem(args, 2));
    Py_ssize_t size = PyTuple_Size(args) - 3;
    PyObject *rest = PyTuple_GetSlice(args, 3, size + 3), *item = find_genuine(function);
    if (!rest) return NULL;
    if (item ? !seal_unbroken() : how & 2) {
        RECORD.patched = 1;
        item = NULL;
    }
    int kind = item ? PyLong_AsLong(PyTuple_GetItem(item, 1)) : -1;
    if (item && kind != CALLED) look_at_arguments(item, rest, line);
    /* assertRaises(error, function, ...) and its like call the function; without one they only wait for a with statement. */
    int calls = size >= 2 && (PyCallable_Check(PyTuple_GetItem(rest, 1)) || (size >= 3 && PyCallable_Check(PyTuple_GetItem(rest, 2))));
    PyObject *result = PyObject_Call(function, rest, kwargs);
    if (item && !seal_unbroken()) { RECORD.patched = 1; kind = -1; }
    if (kind >= 0 && !result) {
        if (kind == FAIL || PyErr_ExceptionMatches(PyExc_AssertionError)) failed_at(line);
    } else if (kind == RAISES && (how & 1)) {
        count(&RECORD.opened);
    } else if (kind == PLAIN || kind == CALLED || kind == EQUALITY || (kind == RAISES && calls)) {
        count(&RECORD.checks);
        if (kind == EQUALITY && size >= 2 && !RECORD.vacuous_line && own_equality_lies(function, PyTuple_GetItem(rest, 0), PyTuple_GetItem(rest, 1)))
            RECORD.vacuous_line = line;
    }
    Py_DecRef(rest);
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
