// Runs TensorFlow graphs through TensorFlow's C interface. tfjs-node's binding can do that too, but
// it looks up every name in each call, passes each tensor through a context for single operations,
// and returns each result in new memory that has to be copied once more. Here, a call reads its
// arguments in place and copies the results to where they are wanted.
//
// load(graph, options, inputs, outputs): loads a graph. `graph` and `options` are the bytes of
// TensorFlow's messages GraphDef and ConfigProto, `inputs` are names of placeholders with a known
// shape, `outputs` names of values such as "Sum_3" or "Split_5:1". Returns the session.
// run(session, inputs, outputs): runs the graph on arrays of exactly the placeholders' types and
// sizes, and copies the values, float32, into arrays of exactly their sizes.
// close(session): frees the session; it cannot be run again.
// tensors(): how many tensors of these calls are alive.
#include <node_api.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tensorflow/c/c_api.h"

namespace {

int64_t live_tensors = 0;

struct Input {
  TF_DataType type;
  std::vector<int64_t> shape;
  size_t bytes;
};

struct Session {
  TF_Graph* graph = nullptr;
  TF_Session* session = nullptr;
  std::vector<Input> inputs;
  std::vector<TF_Output> fed;
  std::vector<TF_Output> fetched;
};

struct Status {
  TF_Status* status = TF_NewStatus();
  ~Status() { TF_DeleteStatus(status); }
  bool ok() const { return TF_GetCode(status) == TF_OK; }
  std::string message() const { return TF_Message(status); }
};

// The tensors of one call, freed at its end.
struct Tensors {
  std::vector<TF_Tensor*> all;
  explicit Tensors(size_t count) : all(count, nullptr) {}
  ~Tensors() {
    for (TF_Tensor* tensor : all)
      if (tensor != nullptr) {
        TF_DeleteTensor(tensor);
        live_tensors--;
      }
  }
};

void Free(Session* session) {
  Status ignored;
  if (session->session != nullptr) {
    TF_CloseSession(session->session, ignored.status);
    TF_DeleteSession(session->session, ignored.status);
  }
  if (session->graph != nullptr) TF_DeleteGraph(session->graph);
  session->session = nullptr;
  session->graph = nullptr;
}

void Finalize(napi_env, void* data, void*) {
  auto* session = static_cast<Session*>(data);
  Free(session);
  delete session;
}

napi_value Throw(napi_env env, const std::string& what) {
  napi_throw_error(env, nullptr, what.c_str());
  return nullptr;
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

struct Array {
  napi_typedarray_type type;
  void* data = nullptr;
  size_t bytes = 0;
};

bool ArrayOf(napi_env env, napi_value value, Array* out) {
  size_t length = 0;
  if (napi_get_typedarray_info(env, value, &out->type, &length, &out->data, nullptr, nullptr) !=
      napi_ok) {
    Throw(env, "not an array of numbers");
    return false;
  }
  out->bytes = length * (out->type == napi_uint8_array ? 1 : 4);
  return true;
}

bool SessionOf(napi_env env, napi_value value, Session** out) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == nullptr ||
      static_cast<Session*>(data)->session == nullptr) {
    Throw(env, "not an open session");
    return false;
  }
  *out = static_cast<Session*>(data);
  return true;
}

// The values of these names in the graph.
bool ValuesOf(napi_env env, TF_Graph* graph, napi_value names, std::vector<TF_Output>* out) {
  uint32_t count = 0;
  napi_get_array_length(env, names, &count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value element = nullptr;
    char text[256];
    size_t length = 0;
    napi_get_element(env, names, i, &element);
    if (napi_get_value_string_utf8(env, element, text, sizeof text, &length) != napi_ok) {
      Throw(env, "not a name");
      return false;
    }
    const std::string name(text, length);
    const size_t colon = name.find(':');
    const int index = colon == std::string::npos ? 0 : std::atoi(name.c_str() + colon + 1);
    TF_Operation* operation = TF_GraphOperationByName(graph, name.substr(0, colon).c_str());
    if (operation == nullptr || index < 0 || index >= TF_OperationNumOutputs(operation)) {
      Throw(env, "the graph has no value " + name);
      return false;
    }
    out->push_back({operation, index});
  }
  return true;
}

// What must be fed to this placeholder.
bool InputOf(napi_env env, TF_Graph* graph, TF_Output value, Input* out) {
  Status status;
  const int dimensions = TF_GraphGetTensorNumDims(graph, value, status.status);
  if (status.ok() && dimensions >= 0) {
    out->shape.resize(static_cast<size_t>(dimensions));
    TF_GraphGetTensorShape(graph, value, out->shape.data(), dimensions, status.status);
  }
  out->type = TF_OperationOutputType(value);
  out->bytes = TF_DataTypeSize(out->type);
  bool known = status.ok() && dimensions >= 0;
  for (const int64_t size : out->shape) {
    known = known && size >= 0;
    out->bytes *= static_cast<size_t>(size);
  }
  if (!known) Throw(env, "a placeholder has no known shape");
  return known;
}

bool Build(napi_env env, const Array& definition, const Array& options, Session* session) {
  Status status;
  session->graph = TF_NewGraph();
  TF_Buffer* buffer = TF_NewBufferFromString(definition.data, definition.bytes);
  TF_ImportGraphDefOptions* importing = TF_NewImportGraphDefOptions();
  TF_GraphImportGraphDef(session->graph, buffer, importing, status.status);
  TF_DeleteImportGraphDefOptions(importing);
  TF_DeleteBuffer(buffer);
  if (status.ok()) {
    TF_SessionOptions* settings = TF_NewSessionOptions();
    TF_SetConfig(settings, options.data, options.bytes, status.status);
    if (status.ok()) session->session = TF_NewSession(session->graph, settings, status.status);
    TF_DeleteSessionOptions(settings);
  }
  if (!status.ok()) Throw(env, status.message());
  return status.ok();
}

napi_value Load(napi_env env, napi_callback_info info) {
  napi_value arguments[4], result = nullptr;
  Array definition, options;
  if (!Arguments(env, info, arguments) || !ArrayOf(env, arguments[0], &definition) ||
      !ArrayOf(env, arguments[1], &options))
    return nullptr;
  auto* session = new Session();
  bool loaded = Build(env, definition, options, session) &&
                ValuesOf(env, session->graph, arguments[2], &session->fed) &&
                ValuesOf(env, session->graph, arguments[3], &session->fetched);
  session->inputs.resize(session->fed.size());
  for (size_t i = 0; loaded && i < session->fed.size(); i++)
    loaded = InputOf(env, session->graph, session->fed[i], &session->inputs[i]);
  if (loaded && napi_create_external(env, session, Finalize, nullptr, &result) == napi_ok)
    return result;
  Finalize(env, session, nullptr);
  return nullptr;
}

bool IsType(TF_DataType type, napi_typedarray_type array) {
  return (type == TF_FLOAT && array == napi_float32_array) ||
         (type == TF_INT32 && array == napi_int32_array) ||
         (type == TF_UINT8 && array == napi_uint8_array);
}

// JavaScript owns the memory and keeps it during the call.
void KeepMemory(void*, size_t, void*) {}

bool Feed(napi_env env, const Session& session, napi_value arrays, Tensors* out) {
  for (size_t i = 0; i < session.inputs.size(); i++) {
    const auto& [type, shape, bytes] = session.inputs[i];
    napi_value element = nullptr;
    Array array;
    napi_get_element(env, arrays, static_cast<uint32_t>(i), &element);
    if (!ArrayOf(env, element, &array)) return false;
    if (!IsType(type, array.type) || array.bytes != bytes) {
      Throw(env, "input " + std::to_string(i) + " has the wrong type or size");
      return false;
    }
    // Copies the data if it is not aligned.
    out->all[i] = TF_NewTensor(type, shape.data(), static_cast<int>(shape.size()), array.data,
                               bytes, KeepMemory, nullptr);
    if (out->all[i] == nullptr) {
      Throw(env, "no memory for a tensor");
      return false;
    }
    live_tensors++;
  }
  return true;
}

napi_value Run(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Session* session = nullptr;
  uint32_t inputs = 0, outputs = 0;
  if (!Arguments(env, info, arguments) || !SessionOf(env, arguments[0], &session)) return nullptr;
  if (napi_get_array_length(env, arguments[1], &inputs) != napi_ok ||
      napi_get_array_length(env, arguments[2], &outputs) != napi_ok ||
      inputs != session->fed.size() || outputs != session->fetched.size())
    return Throw(env, "wrong number of inputs or outputs");
  Tensors fed(inputs), fetched(outputs);
  if (!Feed(env, *session, arguments[1], &fed)) return nullptr;
  Status status;
  TF_SessionRun(session->session, nullptr, session->fed.data(), fed.all.data(),
                static_cast<int>(inputs), session->fetched.data(), fetched.all.data(),
                static_cast<int>(outputs), nullptr, 0, nullptr, status.status);
  for (const TF_Tensor* tensor : fetched.all) live_tensors += tensor == nullptr ? 0 : 1;
  if (!status.ok()) return Throw(env, status.message());
  for (uint32_t i = 0; i < outputs; i++) {
    const TF_Tensor* tensor = fetched.all[i];
    napi_value element = nullptr;
    Array array;
    napi_get_element(env, arguments[2], i, &element);
    if (!ArrayOf(env, element, &array)) return nullptr;
    if (!IsType(TF_TensorType(tensor), array.type) || TF_TensorByteSize(tensor) != array.bytes)
      return Throw(env, "output " + std::to_string(i) + " has the wrong type or size");
    if (array.bytes > 0) memcpy(array.data, TF_TensorData(tensor), array.bytes);
  }
  return nullptr;
}

napi_value Close(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Session* session = nullptr;
  if (Arguments(env, info, arguments) && SessionOf(env, arguments[0], &session)) Free(session);
  return nullptr;
}

napi_value CountTensors(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_int64(env, live_tensors, &result);
  return result;
}

napi_value Export(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"load", Load}, {"run", Run}, {"close", Close}, {"tensors", CountTensors}};
  for (const auto& [name, call] : functions) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, Export)
