// TensorFlow writes lines to file descriptor 2 while its library loads, before any setting of its own can stop them
// (absl's "All log messages before InitializeLog", oneDNN's greeting, a missing CUDA driver). Node has no dup2; this
// addon does: begin() puts a memory file in the place of stderr, end() puts stderr back and returns what was written.
#include <node_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace {

int saved = -1;
int captured = -1;

napi_value Begin(napi_env, napi_callback_info) {
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

napi_value End(napi_env env, napi_callback_info) {
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

napi_value Export(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "begin", NAPI_AUTO_LENGTH, Begin, nullptr, &function);
  napi_set_named_property(env, exports, "begin", function);
  napi_create_function(env, "end", NAPI_AUTO_LENGTH, End, nullptr, &function);
  napi_set_named_property(env, exports, "end", function);
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, Export)
