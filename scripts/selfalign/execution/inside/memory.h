/* ---- memory that programs inherit, in huge pages: a fork copies one entry for each instead of 512 ---- */

enum { HUGE = 2 << 20 };
typedef struct { void *context; void *(*alloc)(void *, size_t); void (*free)(void *, void *, size_t); } Arenas; /* PyObjectArenaAllocator */
__attribute__((weak)) void PyObject_SetArenaAllocator(Arenas *);
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static char *block, *block_end; /* what is left of the newest huge page */
static char *blocks[1024];
static int block_count, loading;

/* Python's arenas of one MB; while modules are loaded, side by side in huge pages. */
static void *arena_alloc(void *context, size_t size) {
    if (loading && size <= HUGE && size % 4096 == 0) {
        if ((size_t)(block_end - block) < size && block_count < 1024) {
            char *wide = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (wide == MAP_FAILED) return NULL;
            char *start = (char *)(((uintptr_t)wide + HUGE - 1) & -(uintptr_t)HUGE);
            if (start > wide) munmap(wide, start - wide);
            munmap(start + HUGE, wide + HUGE - start);
            blocks[block_count++] = block = start;
            block_end = start + HUGE;
        }
        if ((size_t)(block_end - block) >= size) return (block += size) - size;
    }
    char *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return arena == MAP_FAILED ? NULL : arena;
}
static void arena_free(void *context, void *arena, size_t size) { munmap(arena, size); }

static uintptr_t heap_start;

/* load(): before modules are loaded */
static PyObject *guard_load(PyObject *self, PyObject *args) {
    if (running) deny("called the runner");
    loading = 1;
    heap_start = (uintptr_t)sbrk(0);
    if (PyObject_SetArenaAllocator) PyObject_SetArenaAllocator(&(Arenas){NULL, arena_alloc, arena_free});
    return NONE;
}

/* loaded(): after that. Where the kernel (before 6.1, or without huge pages) refuses, forks are slower and nothing else. */
static PyObject *guard_loaded(PyObject *self, PyObject *args) {
    if (running) deny("called the runner");
    loading = 0;
    for (int i = 0; i < block_count; i++) madvise(blocks[i], HUGE, MADV_COLLAPSE);
    /* The heap began a little before heap_start; what lies in between and is none fails. */
    uintptr_t end = (uintptr_t)sbrk(0), heap = (heap_start & -(uintptr_t)HUGE) - HUGE;
    for (; heap + HUGE <= end; heap += HUGE) madvise((void *)heap, HUGE, MADV_COLLAPSE);
    return NONE;
}
