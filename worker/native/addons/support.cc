// Process-level functions that TensorFlow needs and Node does not provide.
//
// captureStderr() and releaseStderr(): while TensorFlow loads, it writes lines to file descriptor 2
// before any of its settings can prevent that (absl's "All log messages before InitializeLog",
// oneDNN's greeting, a missing CUDA driver). A memory file replaces stderr in the meantime;
// afterwards, stderr is restored and the captured text is returned.
//
// keepLargeBlocks(): by default, glibc maps large blocks such as weights and gradients, unmaps them
// when they are freed, and thus gets fresh pages again and again. With these blocks on the heap
// (32 MiB is the maximum), a gradient call with batch size 32 is two to three times as fast.
//
// flushSubnormals(on): TensorFlow's own threads treat subnormal floats as zero and write zero in
// their place. If a graph runs on the calling thread, that thread must be in the same mode, because
// the graph's sums would otherwise have different bytes.
//
// holdSignals(on): oneDNN's generated matrix products for AVX-512 keep data below the stack
// pointer, where a signal handler's frame overwrites it: the heap is damaged, and the process
// crashes or the result is wrong. While signals are held, the kernel delivers them to other
// threads, or to this one afterwards. TensorFlow's own threads inherit the mask of the thread that
// creates them. Signals that report a fault of the thread itself are never held: V8 needs SIGSEGV.
#include <malloc.h>
#include <node_api.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace {

int saved = -1;
int captured = -1;

napi_value CaptureStderr(napi_env, napi_callback_info) {
  if (saved >= 0) return nullptr;
  captured = memfd_create("stderr", MFD_CLOEXEC);
  if (captured < 0) return nullptr;
  saved = dup(STDERR_FILENO);
  if (saved < 0 || dup2(captured, STDERR_FILENO) < 0) {
    close(captured);
    if (saved >= 0) close(saved);
    saved = captured = -1;
  }
  return nullptr;
}

napi_value ReleaseStderr(napi_env env, napi_callback_info) {
  std::string text;
  if (saved >= 0) {
    dup2(saved, STDERR_FILENO);
    close(saved);
    char part[4096];
    lseek(captured, 0, SEEK_SET);
    for (ssize_t n; (n = read(captured, part, sizeof part)) > 0;) text.append(part, n);
    close(captured);
    saved = captured = -1;
  }
  napi_value result = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &result);
  return result;
}

napi_value KeepLargeBlocks(napi_env, napi_callback_info) {
#if defined(M_MMAP_THRESHOLD)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
  return nullptr;
}

void SetFlush(bool on) {
#if defined(__x86_64__)
  const unsigned kFlushToZeroAndDenormalsAreZero = 0x8040;
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(on ? mode | kFlushToZeroAndDenormalsAreZero : mode & ~kFlushToZeroAndDenormalsAreZero);
#elif defined(__aarch64__)
  const uint64_t kFlushToZero = uint64_t{1} << 24;
  uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  mode = on ? mode | kFlushToZero : mode & ~kFlushToZero;
  asm volatile("msr fpcr, %0" : : "r"(mode));
#endif
}

napi_value FlushSubnormals(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  bool on = false;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  if (count == 1 && napi_get_value_bool(env, argument, &on) == napi_ok) SetFlush(on);
  return nullptr;
}

thread_local bool held = false;
thread_local sigset_t mask_before;

napi_value HoldSignals(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  bool on = false;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  if (count != 1 || napi_get_value_bool(env, argument, &on) != napi_ok || on == held)
    return nullptr;
  if (on) {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
      sigdelset(&all, fault);
    held = pthread_sigmask(SIG_BLOCK, &all, &mask_before) == 0;
  } else {
    pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
    held = false;
  }
  return nullptr;
}

void AddFunction(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

napi_value Export(napi_env env, napi_value exports) {
  AddFunction(env, exports, "captureStderr", CaptureStderr);
  AddFunction(env, exports, "releaseStderr", ReleaseStderr);
  AddFunction(env, exports, "keepLargeBlocks", KeepLargeBlocks);
  AddFunction(env, exports, "flushSubnormals", FlushSubnormals);
  AddFunction(env, exports, "holdSignals", HoldSignals);
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, Export)
