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
PyObject *PyTuple_Pack(Py_ssize_t, ...);
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
