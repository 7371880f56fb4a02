// Memory that processes of one host share, and waiting for a change in it.
//
// create(bytes): a new memory of this process, all zeros, as {descriptor, memory}. It is a memfd
// sealed against shrinking and growing: if a peer could truncate it, reading it would end the
// process with SIGBUS. All pages are allocated now, so that a lack of memory is detected here.
// open(path, bytes): maps a peer's memory, read-only. Throws unless it has exactly this size and
// these seals.
// close(memory): unmaps it.
// write(memory, at, array), read(memory, at, array): copy an array of bytes.
// load(memory, at), store(memory, at, value): a word (u32) of control, in sequential order.
// wake(memory, at): wakes all processes that wait for a change of this word.
// wait(own, state, memories, at, values, microseconds): waits until the word at `at` of one of the
// memories differs from its value or the time has passed. It may spin first; then it stores 1 at
// `state` in our own memory, waits in the kernel, and stores 0. Returns false if this kernel cannot
// wait for several words.
// spin(microseconds): how long each wait may spin. Spinning saves the time until the kernel runs a
// process that it has woken.
//
// Every position is checked against the size of its memory, so a wrong one throws.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <node_api.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 30;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr uint32_t kMaxWaits = 128;  // FUTEX_WAITV_MAX
constexpr long kWaitv = 449;         // __NR_futex_waitv, on every architecture

// Linux 5.16; older headers lack it.
struct Waiter {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};
constexpr uint32_t kFutex32 = 2;
constexpr uint64_t kLongYield = 20000;  // nanoseconds; an unneeded yield takes about one

struct Memory {
  uint8_t* start;
  uint64_t bytes;
  int descriptor;
  bool writable;
};

void Unmap(Memory* memory) {
  if (memory->start != nullptr) munmap(memory->start, memory->bytes);
  if (memory->descriptor >= 0) close(memory->descriptor);
  memory->start = nullptr;
  memory->bytes = 0;
  memory->descriptor = -1;
}

void Finalize(napi_env, void* data, void*) {
  auto* memory = static_cast<Memory*>(data);
  Unmap(memory);
  delete memory;
}

napi_value Throw(napi_env env, const std::string& what) {
  napi_throw_error(env, nullptr, what.c_str());
  return nullptr;
}

napi_value ThrowErrno(napi_env env, const char* call) {
  return Throw(env, std::string(call) + ": " + strerror(errno));
}

// The arguments of a call; throws and returns false unless there are exactly N.
template <size_t N>
bool Arguments(napi_env env, napi_callback_info info, napi_value (&values)[N]) {
  size_t count = N;
  if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count == N)
    return true;
  Throw(env, "wrong number of arguments");
  return false;
}

bool Number(napi_env env, napi_value value, uint64_t* out) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok && number >= 0 &&
      number <= UINT32_MAX && number == static_cast<double>(static_cast<uint32_t>(number))) {
    *out = static_cast<uint64_t>(number);
    return true;
  }
  Throw(env, "not a whole number in range");
  return false;
}

bool MemoryOf(napi_env env, napi_value value, Memory** out) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == nullptr) {
    Throw(env, "not a memory");
    return false;
  }
  *out = static_cast<Memory*>(data);
  return true;
}

// The arguments of a call whose first two are a memory and a position in it.
template <size_t N>
bool PlaceOf(napi_env env, napi_callback_info info, napi_value (&values)[N], Memory** memory,
             uint64_t* at) {
  return Arguments(env, info, values) && MemoryOf(env, values[0], memory) &&
         Number(env, values[1], at);
}

// The word at `at`; null (after a throw) if it is not inside the memory.
std::atomic<uint32_t>* WordOf(napi_env env, Memory* memory, uint64_t at) {
  if (memory->start == nullptr || at % 4 != 0 || memory->bytes < 4 || at > memory->bytes - 4) {
    Throw(env, "not a word of this memory");
    return nullptr;
  }
  return reinterpret_cast<std::atomic<uint32_t>*>(memory->start + at);
}

napi_value External(napi_env env, Memory* memory) {
  napi_value value = nullptr;
  if (napi_create_external(env, memory, Finalize, nullptr, &value) == napi_ok) return value;
  Finalize(env, memory, nullptr);
  return Throw(env, "no memory for a memory");
}

napi_value Create(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  uint64_t bytes = 0;
  if (!Arguments(env, info, arguments) || !Number(env, arguments[0], &bytes)) return nullptr;
  if (bytes == 0 || bytes > kMaxBytes) return Throw(env, "a memory has 1 byte to 1 GiB");
  auto* memory = new Memory{nullptr, 0, -1, true};
  memory->descriptor = memfd_create("mnist-dist", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const auto failed = [&](const char* call) {
    ThrowErrno(env, call);
    Finalize(env, memory, nullptr);
    return nullptr;
  };
  if (memory->descriptor < 0) return failed("memfd_create");
  if (ftruncate(memory->descriptor, static_cast<off_t>(bytes)) != 0) return failed("ftruncate");
  if (fallocate(memory->descriptor, 0, 0, static_cast<off_t>(bytes)) != 0)
    return failed("fallocate");
  if (fcntl(memory->descriptor, F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) return failed("seal");
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                     memory->descriptor, 0);
  if (start == MAP_FAILED) return failed("mmap");
  memory->start = static_cast<uint8_t*>(start);
  memory->bytes = bytes;
  napi_value result = nullptr, descriptor = nullptr;
  napi_create_object(env, &result);
  napi_create_int32(env, memory->descriptor, &descriptor);
  napi_set_named_property(env, result, "descriptor", descriptor);
  napi_set_named_property(env, result, "memory", External(env, memory));
  return result;
}

napi_value Open(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint64_t bytes = 0;
  char path[64];
  size_t length = 0;
  if (!Arguments(env, info, arguments) || !Number(env, arguments[1], &bytes)) return nullptr;
  if (napi_get_value_string_utf8(env, arguments[0], path, sizeof path, &length) != napi_ok ||
      length + 1 >= sizeof path)
    return Throw(env, "not a path");
  if (bytes == 0 || bytes > kMaxBytes) return Throw(env, "a memory has 1 byte to 1 GiB");
  auto* memory = new Memory{nullptr, 0, -1, false};
  const auto failed = [&](const std::string& what) {
    Throw(env, what);
    Finalize(env, memory, nullptr);
    return nullptr;
  };
  memory->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (memory->descriptor < 0) return failed(std::string("open: ") + strerror(errno));
  const int seals = fcntl(memory->descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return failed("its size is not sealed");
  struct stat status;
  if (fstat(memory->descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
      static_cast<uint64_t>(status.st_size) != bytes)
    return failed("it has another size");
  void* start = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, memory->descriptor, 0);
  if (start == MAP_FAILED) return failed(std::string("mmap: ") + strerror(errno));
  memory->start = static_cast<uint8_t*>(start);
  memory->bytes = bytes;
  // The mapping needs no descriptor.
  close(memory->descriptor);
  memory->descriptor = -1;
  return External(env, memory);
}

napi_value Close(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Memory* memory = nullptr;
  if (Arguments(env, info, arguments) && MemoryOf(env, arguments[0], &memory)) Unmap(memory);
  return nullptr;
}

// Copies between an array and the memory.
napi_value Copy(napi_env env, napi_callback_info info, bool into) {
  napi_value arguments[3];
  Memory* memory = nullptr;
  uint64_t at = 0;
  if (!PlaceOf(env, info, arguments, &memory, &at)) return nullptr;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, arguments[2], &type, &length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_uint8_array)
    return Throw(env, "not an array of bytes");
  if (memory->start == nullptr || length > memory->bytes || at > memory->bytes - length)
    return Throw(env, "not inside this memory");
  if (into && !memory->writable) return Throw(env, "a peer's memory is read-only");
  if (length == 0) return nullptr;
  // Words that were stored or loaded before or after this copy keep their order to its bytes.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (into)
    memcpy(memory->start + at, data, length);
  else
    memcpy(data, memory->start + at, length);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return nullptr;
}

napi_value Write(napi_env env, napi_callback_info info) { return Copy(env, info, true); }
napi_value Read(napi_env env, napi_callback_info info) { return Copy(env, info, false); }

napi_value Load(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = nullptr;
  Memory* memory = nullptr;
  uint64_t at = 0;
  if (!PlaceOf(env, info, arguments, &memory, &at)) return nullptr;
  const auto* word = WordOf(env, memory, at);
  if (word != nullptr) napi_create_uint32(env, word->load(std::memory_order_seq_cst), &result);
  return result;
}

napi_value Store(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Memory* memory = nullptr;
  uint64_t at = 0, value = 0;
  if (!PlaceOf(env, info, arguments, &memory, &at) || !Number(env, arguments[2], &value))
    return nullptr;
  if (!memory->writable) return Throw(env, "a peer's memory is read-only");
  auto* word = WordOf(env, memory, at);
  if (word != nullptr) word->store(static_cast<uint32_t>(value), std::memory_order_seq_cst);
  return nullptr;
}

napi_value Wake(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Memory* memory = nullptr;
  uint64_t at = 0;
  if (!PlaceOf(env, info, arguments, &memory, &at)) return nullptr;
  const auto* word = WordOf(env, memory, at);
  if (word != nullptr) syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  return nullptr;
}

bool HasChanged(const Waiter* waiters, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    const auto* word = reinterpret_cast<const std::atomic<uint32_t>*>(waiters[i].address);
    if (word->load(std::memory_order_seq_cst) != waiters[i].value) return true;
  }
  return false;
}

uint64_t Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t spin_microseconds = 0;

napi_value SetSpin(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  uint64_t microseconds = 0;
  if (Arguments(env, info, arguments) && Number(env, arguments[0], &microseconds))
    spin_microseconds = microseconds;
  return nullptr;
}

// Looks for a change until the time has passed or another thread has needed this core, which a
// yield that takes long shows.
bool Spin(const Waiter* waiters, uint32_t count, uint64_t microseconds) {
  const uint64_t start = Nanoseconds();
  for (uint64_t before = start; !HasChanged(waiters, count);) {
    sched_yield();
    const uint64_t now = Nanoseconds();
    if (now - before > kLongYield || now - start > microseconds * 1000)
      return HasChanged(waiters, count);
    before = now;
  }
  return true;
}

napi_value Wait(napi_env env, napi_callback_info info) {
  napi_value arguments[6], result = nullptr;
  Memory* own = nullptr;
  uint64_t state = 0, at = 0, microseconds = 0;
  uint32_t count = 0, values = 0;
  if (!Arguments(env, info, arguments) || !MemoryOf(env, arguments[0], &own) ||
      !Number(env, arguments[1], &state) || !Number(env, arguments[3], &at) ||
      !Number(env, arguments[5], &microseconds))
    return nullptr;
  if (napi_get_array_length(env, arguments[2], &count) != napi_ok ||
      napi_get_array_length(env, arguments[4], &values) != napi_ok || count != values ||
      count == 0 || count > kMaxWaits)
    return Throw(env, "wait for 1 to 128 words");
  if (!own->writable) return Throw(env, "a peer's memory is read-only");
  auto* flag = WordOf(env, own, state);
  if (flag == nullptr) return nullptr;
  Waiter waiters[kMaxWaits] = {};
  for (uint32_t i = 0; i < count; i++) {
    napi_value element = nullptr, expected = nullptr;
    Memory* memory = nullptr;
    uint64_t value = 0;
    napi_get_element(env, arguments[2], i, &element);
    napi_get_element(env, arguments[4], i, &expected);
    if (!MemoryOf(env, element, &memory) || !Number(env, expected, &value)) return nullptr;
    auto* word = WordOf(env, memory, at);
    if (word == nullptr) return nullptr;
    waiters[i] = {static_cast<uint32_t>(value), reinterpret_cast<uint64_t>(word), kFutex32, 0};
  }
  bool supported = true;
  if (spin_microseconds > 0 && Spin(waiters, count, spin_microseconds)) {
    napi_get_boolean(env, supported, &result);
    return result;
  }
  flag->store(1, std::memory_order_seq_cst);
  const bool waits = !HasChanged(waiters, count);
  // The kernel compares once more, and returns immediately if a word has changed.
  if (waits && count == 1) {
    timespec limit = {static_cast<time_t>(microseconds / 1000000),
                      static_cast<long>(microseconds % 1000000 * 1000)};
    syscall(SYS_futex, waiters[0].address, FUTEX_WAIT, waiters[0].value, &limit, nullptr, 0);
  } else if (waits) {
    timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    const uint64_t nanoseconds = static_cast<uint64_t>(end.tv_nsec) + microseconds * 1000;
    end.tv_sec += static_cast<time_t>(nanoseconds / 1000000000);
    end.tv_nsec = static_cast<long>(nanoseconds % 1000000000);
    const long woken = syscall(kWaitv, waiters, count, 0, &end, CLOCK_MONOTONIC);
    // Otherwise, the kernel or a container's filter of system calls refused it.
    supported = woken >= 0 || errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR;
  }
  flag->store(0, std::memory_order_seq_cst);
  napi_get_boolean(env, supported, &result);
  return result;
}

napi_value Export(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"create", Create}, {"open", Open},   {"close", Close},
                   {"write", Write},   {"read", Read},   {"load", Load},
                   {"store", Store},   {"wake", Wake},   {"wait", Wait},
                   {"spin", SetSpin}};
  for (const auto& [name, call] : functions) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, Export)
