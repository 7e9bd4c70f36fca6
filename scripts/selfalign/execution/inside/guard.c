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

/* One compilation unit, in the order in which its parts build on each other. */
#include "abi.h"
#include "record.h"
#include "checks.h"
#include "errors.h"
#include "run.h"
#include "server.h"
#include "memory.h"

/* setup(genuine, managers, sealed, strangers, filter, type of mock's ANY, code of doctest's runner, sys.gettrace): once, before serve.
 * None for what is not loaded. */
static PyObject *guard_setup(PyObject *self, PyObject *args) {
    PyObject *filter;
    if (running) deny("called the runner");
    if (!PyArg_ParseTuple(args, "OOOOOOOO", &genuine, &managers, &sealed, &strangers, &filter, &any_of_mock, &doctest_run, &gettrace)) return NULL;
    Py_IncRef(managers);
    Py_IncRef(any_of_mock);
    Py_IncRef(doctest_run);
    Py_IncRef(gettrace);
    Py_IncRef(genuine);
    Py_IncRef(sealed);
    Py_IncRef(strangers);
    program_filter_size = PyBytes_Size(filter) / sizeof *program_filter;
    program_filter = malloc(PyBytes_Size(filter) + 1);
    memcpy(program_filter, PyBytes_AsString(filter), PyBytes_Size(filter));
    PySys_AddAuditHook(audit, NULL);
    return NONE;
}

static PyMethodDef methods[] = {
    {"setup", guard_setup, METH_VARARGS, NULL},
    {"load", guard_load, METH_VARARGS, NULL},
    {"loaded", guard_loaded, METH_VARARGS, NULL},
    {"serve", guard_serve, METH_VARARGS, NULL},
    {"run", guard_run, METH_VARARGS, NULL},
    {"end", guard_end, METH_VARARGS, NULL},
    {"check", guard_check, METH_VARARGS, NULL},
    {"value", guard_value, METH_VARARGS, NULL},
    {"call", (PyCFunction)(void *)guard_call, METH_VARARGS | METH_KEYWORDS, NULL},
    {"block", guard_block, METH_VARARGS, NULL},
    {"closed", guard_closed, METH_VARARGS, NULL},
    {"caught", guard_caught, METH_VARARGS, NULL},
    {"fail", guard_fail, METH_VARARGS, NULL},
    {"enter", guard_enter, METH_VARARGS, NULL},
    {"entered", guard_entered, METH_VARARGS, NULL},
    {"raised", guard_raised, METH_VARARGS, NULL},
    {"swallowed", guard_swallowed, METH_VARARGS, NULL},
    {0},
};
static PyModuleDef definition = {.m_base = {.ob_base = {1, NULL}}, .m_name = "guard", .m_size = -1, .m_methods = methods};
PyObject *PyInit_guard(void) { return PyModule_Create2(&definition, 1013); }
