/* A STAND-IN for libcudart, for machines without a GPU. It is not CUDA: device memory is host memory, and a stream does
 * at once what it is given. What it keeps of the real one, after CUDA's documentation: the signatures; that copies need
 * a direction; that a capturing stream records and does nothing; that a graph is replayed by launching it; and that an
 * error of a captured call spoils the capture. Wrong use ends in an error code, and memory that is not given back is
 * counted.
 *
 * Environment: STAND_IN_DEVICES (count), STAND_IN_NAME, STAND_IN_SM ("8.7"), STAND_IN_DRIVER ("12060"), STAND_IN_FREE_MB,
 * STAND_IN_CAPTURE ("no": nothing can be captured).
 */
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, NO_DEVICE = 100, INSUFFICIENT_DRIVER = 35, CAPTURE_UNSUPPORTED = 900, MAX_OPERATIONS = 64 };

typedef void (*host_function)(void *);
typedef struct { void *to; const void *from; size_t size; host_function call; void *data; } operation;
typedef struct { operation list[MAX_OPERATIONS]; int count; } graph;
typedef struct { graph *recording; int spoiled; } stream;

static int live = 0;       /* allocations, streams and graphs that were not given back */
static int launches = 0;   /* of graphs */
static int last_error = OK;

static int fail(int code) { last_error = code; return code; }
static long number(const char *name, long otherwise) { const char *text = getenv(name); return text ? atol(text) : otherwise; }

int stand_in_live(void) { return live; }
int stand_in_launches(void) { return launches; }

int cudaGetDeviceCount(int *count) {
  *count = (int)number("STAND_IN_DEVICES", 1);
  if (*count < 0) { *count = 0; return fail(INSUFFICIENT_DRIVER); }
  return *count ? OK : fail(NO_DEVICE);
}
int cudaDriverGetVersion(int *version) { *version = (int)number("STAND_IN_DRIVER", 12060); return OK; }
int cudaRuntimeGetVersion(int *version) { *version = 12060; return OK; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  const char *sm = getenv("STAND_IN_SM") ? getenv("STAND_IN_SM") : "8.7";
  if (device < 0 || device >= number("STAND_IN_DEVICES", 1)) return fail(101);
  switch (attribute) {
    case 18: *value = 1; return OK; /* integrated */
    case 75: *value = atoi(sm); return OK;
    case 76: *value = atoi(strchr(sm, '.') + 1); return OK;
    default: return fail(INVALID);
  }
}
int cudaGetDeviceProperties(void *properties, int device) {
  if (device < 0 || device >= number("STAND_IN_DEVICES", 1)) return fail(101);
  memset(properties, 0x5a, 1032); /* as much as a cudaDeviceProp is, so that nothing but the name can be relied on */
  strncpy(properties, getenv("STAND_IN_NAME") ? getenv("STAND_IN_NAME") : "Orin (stand-in)", 256);
  return OK;
}
int cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  *free_bytes = (size_t)number("STAND_IN_FREE_MB", 6000) << 20;
  *total = (size_t)8000 << 20;
  return OK;
}
int cudaSetDevice(int device) { return device >= 0 && device < number("STAND_IN_DEVICES", 1) ? OK : fail(101); }

static int take(void **address, size_t size) {
  *address = calloc(1, size);
  if (!*address) return fail(2);
  live++;
  return OK;
}
static int give_back(void *address) { if (!address) return fail(INVALID); free(address); live--; return OK; }
int cudaMallocHost(void **address, size_t size) { return take(address, size); }
int cudaFreeHost(void *address) { return give_back(address); }
int cudaMalloc(void **address, size_t size) { return take(address, size); }
int cudaFree(void *address) { return give_back(address); }

int cudaStreamCreateWithFlags(void **made, unsigned flags) { return flags == 1 ? take(made, sizeof(stream)) : fail(INVALID); }
int cudaStreamDestroy(void *which) { return give_back(which); }
int cudaStreamSynchronize(void *which) { return which && !((stream *)which)->recording ? OK : fail(CAPTURE_UNSUPPORTED); }

static void perform(const operation *one) {
  if (one->call) one->call(one->data);
  else memcpy(one->to, one->from, one->size);
}
static int enqueue(stream *where, operation one) {
  if (!where) return fail(INVALID);
  if (!where->recording) { perform(&one); return OK; }
  if (where->recording->count == MAX_OPERATIONS) return fail(INVALID);
  where->recording->list[where->recording->count++] = one;
  return OK;
}
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *where) {
  if (kind != 1 && kind != 2) return fail(21); /* cudaErrorInvalidMemcpyDirection */
  return enqueue(where, (operation){to, from, size, NULL, NULL});
}
/* Of the real libcudart, too: the stand-in for TensorRT infers through it, so that an inference can be captured. */
int cudaLaunchHostFunc(void *where, host_function call, void *data) {
  return enqueue(where, (operation){NULL, NULL, 0, call, data});
}

int cudaStreamBeginCapture(void *which, int mode) {
  stream *where = which;
  const char *capture = getenv("STAND_IN_CAPTURE");
  if (!where || where->recording || mode < 0 || mode > 2) return fail(INVALID);
  where->spoiled = capture && !strcmp(capture, "no");
  where->recording = calloc(1, sizeof(graph));
  live++;
  return OK;
}
int cudaStreamEndCapture(void *which, void **made) {
  stream *where = which;
  *made = NULL;
  if (!where || !where->recording) return fail(INVALID);
  *made = where->recording;
  where->recording = NULL;
  if (!where->spoiled) return OK;
  give_back(*made);
  *made = NULL;
  return fail(CAPTURE_UNSUPPORTED);
}
int cudaGraphInstantiateWithFlags(void **executable, void *recorded, unsigned long long flags) {
  if (!recorded || flags) return fail(INVALID);
  if (take(executable, sizeof(graph))) return last_error;
  memcpy(*executable, recorded, sizeof(graph));
  return OK;
}
int cudaGraphDestroy(void *which) { return give_back(which); }
int cudaGraphExecDestroy(void *which) { return give_back(which); }
int cudaGraphLaunch(void *which, void *where) {
  graph *replayed = which;
  if (!replayed || !where) return fail(INVALID);
  launches++;
  for (int i = 0; i < replayed->count; i++) perform(&replayed->list[i]);
  return OK;
}
int cudaGetLastError(void) { int code = last_error; last_error = OK; return code; }
const char *cudaGetErrorString(int code) {
  switch (code) {
    case OK: return "no error";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    case INSUFFICIENT_DRIVER: return "CUDA driver version is insufficient for CUDA runtime version";
    case CAPTURE_UNSUPPORTED: return "operation not permitted when stream is capturing";
    default: return "a failure of the stand-in";
  }
}
