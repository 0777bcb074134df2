// How requests and replies become records, and the blocks that carry them.
#include <weft/ps/link.hpp>

#include <array>
#include <cstring>
#include <utility>

#include <weft/core/format.hpp>

namespace weft::ps {
namespace {

constexpr std::array kRequestFields{"op", "table", "worker", "epoch", "seq", "clock", "number"};
constexpr std::size_t kReplyFields = 5;

std::optional<Tensor> next_tensor(wire::Unpack& in, std::span<const Tensor> frames) {
  const auto ext = in.ext();
  if (!ext || ext->type != wire::kTensorExt) return std::nullopt;
  const auto reference = wire::unpack_tensor_ref(ext->payload);
  return reference ? wire::resolve(*reference, frames) : std::nullopt;
}

/// The numbers of the next item, a bin or a tensor: `frame` is kept for a tensor. nullopt: it is neither, or
/// of another element type or length.
template <class T>
std::optional<Bytes> next_numbers(wire::Unpack& in, std::span<const Tensor> frames, Tensor& frame) {
  if (const auto inside = in.bin()) {
    if (inside->size() % sizeof(T) != 0) return std::nullopt;
    return *inside;
  }
  auto tensor = next_tensor(in, frames);
  if (!tensor || tensor->dtype != dtype_of<T>()) return std::nullopt;
  frame = std::move(*tensor);
  return frame.data;
}

/// The bytes as numbers, copied when they do not lie aligned: always so inside of a record, and where the
/// network put a frame so.
template <class T>
std::span<const T> aligned(Bytes bytes, std::vector<T>& copy) {
  const std::size_t count = bytes.size() / sizeof(T);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) == 0)
    return {reinterpret_cast<const T*>(bytes.data()), count};
  copy.resize(count);
  std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

/// Few numbers go into the record itself, where many requests share one message; many are a frame of their
/// own.
bool goes_inside(Bytes numbers) {
  return numbers.size() < kFrameFrom;
}

bool no(std::string* why, std::string sentence) {
  if (why) *why = std::move(sentence);
  return false;
}

}  // namespace

RecordType request_type() {
  constexpr std::string_view name = "weft.ps.Request";
  return {std::string(name),
          wire::type_fingerprint(name, "op,table,worker,epoch,seq,clock,number,keys,values")};
}

RecordType reply_type() {
  constexpr std::string_view name = "weft.ps.Reply";
  return {std::string(name), wire::type_fingerprint(name, "status,text,clock,min_clock,info,values")};
}

void encode(wire::BatchBuilder& batch, const Request& request, const std::shared_ptr<const void>& owner) {
  const std::size_t arrays = !request.values.empty() ? 2 : !request.keys.empty() ? 1 : 0;
  batch.add([&](wire::Buffer& out) {
    wire::Pack pack(out);
    pack.array(kRequestFields.size() + arrays);
    pack.uint(static_cast<std::uint8_t>(request.op));
    for (const std::uint64_t number : {std::uint64_t{request.table}, std::uint64_t{request.worker},
                                       request.epoch, request.seq, request.clock, request.number}) {
      pack.uint(number);
    }
    const auto add = [&](auto numbers, const std::shared_ptr<const void>& held) {
      if (goes_inside(bytes_of(numbers))) return pack.bin(bytes_of(numbers));
      Tensor tensor = Tensor::view(numbers);
      tensor.owner = held;
      wire::pack_tensor_ref(out, batch.add_tensor(tensor), tensor);
    };
    if (arrays > 0) add(request.keys, nullptr);
    if (arrays > 1) add(request.values, owner);
  });
}

bool DecodedRequest::decode(const wire::RecordView& record, std::string* why) {
  wire::Unpack in(record.packed);
  const auto items = in.array();
  if (!items || *items < kRequestFields.size() || *items > kRequestFields.size() + 2) {
    return no(why, items ? format("a request has 7 to 9 items, this one has {}", *items)
                         : std::string("a request is an array of 7 to 9 items, this is none"));
  }
  std::array<std::uint64_t, kRequestFields.size()> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto number = in.uint();
    if (!number)
      return no(why, format("item {} of the request ({}) is no unsigned integer", i, kRequestFields[i]));
    numbers[i] = *number;
  }
  if (numbers[0] > UINT8_MAX) return no(why, format("operation {} does not exist", numbers[0]));
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
    if (numbers[i] > UINT32_MAX)
      return no(why, format("item {} of the request ({}) is {}, expected at most {}", i, kRequestFields[i],
                            numbers[i], UINT32_MAX));
  }
  request = {static_cast<Op>(numbers[0]),
             static_cast<std::uint32_t>(numbers[1]),
             static_cast<std::uint32_t>(numbers[2]),
             numbers[3],
             numbers[4],
             numbers[5],
             numbers[6],
             {},
             {}};
  if (*items > numbers.size()) {
    const auto bytes = next_numbers<std::uint64_t>(in, record.tensors, keys);
    if (!bytes)
      return no(why,
                "item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came with it");
    // Copied wherever they lie: a peer that lends its memory could change them after they were checked.
    key_copy.resize(bytes->size() / sizeof(std::uint64_t));
    if (!bytes->empty()) std::memcpy(key_copy.data(), bytes->data(), bytes->size());
    request.keys = key_copy;
  }
  if (*items > numbers.size() + 1) {
    const auto bytes = next_numbers<float>(in, record.tensors, values);
    if (!bytes)
      return no(
          why,
          "item 8 of the request (values) is neither a bin of F32 nor a tensor of F32 that came with it");
    request.values = aligned(*bytes, value_copy);
  }
  return true;
}

void encode(wire::BatchBuilder& batch, Reply&& reply) {
  batch.add([&](wire::Buffer& out) {
    wire::Pack pack(out);
    const Bytes numbers = reply.numbers();
    pack.array(kReplyFields + (numbers.empty() ? 0 : 1));
    pack.uint(static_cast<std::uint8_t>(reply.status));
    pack.str(reply.text);
    pack.uint(reply.clock);
    pack.uint(reply.min_clock);
    pack.value(reply.info);
    if (numbers.empty()) return;
    if (goes_inside(numbers)) return pack.bin(numbers);
    const Tensor tensor = reply.frame.owner ? std::move(reply.frame) : Tensor::own(std::move(reply.values));
    wire::pack_tensor_ref(out, batch.add_tensor(tensor), tensor);
  });
}

bool DecodedReply::decode(const wire::RecordView& record, std::string* why) {
  wire::Unpack in(record.packed);
  const auto items = in.array();
  if (!items || *items < kReplyFields || *items > kReplyFields + 1)
    return no(why, "the reply is no array of 5 or 6 items");
  const auto status = in.uint();
  const auto text = in.str();
  const auto clock = in.uint();
  const auto min_clock = in.uint();
  auto info = in.nil() ? std::optional<Value>(std::in_place) : in.value();  // as most replies have none
  if (!status || *status > kLastStatus || !text || !clock || !min_clock || !info)
    return no(why, "the reply is not [status, text, clock, min_clock, info]");
  reply.status = static_cast<Status>(*status);
  reply.text = *text;
  reply.clock = *clock;
  reply.min_clock = *min_clock;
  reply.info = std::move(*info);
  values = {};
  if (*items == kReplyFields) return true;
  const auto bytes = next_numbers<float>(in, record.tensors, frame);
  if (!bytes)
    return no(why, "the values of the reply are neither a bin of F32 nor a tensor of F32 that came with it");
  values = *bytes;
  return true;
}

ParamsDealer::ParamsDealer(Loop& loop, const PortOptions& options)
    : DealerBase(loop, options, request_type(), reply_type()),
      loop_(loop),
      capacity_(options.capacity_bytes) {}

void ParamsDealer::send_raw(const Request& request, const std::shared_ptr<const void>& owner,
                            std::string_view server, Deadline deadline, Done done) {
  RequestTo to;
  to.peer = server;
  submit(
      to, deadline, [&](wire::BatchBuilder& batch) { encode(batch, request, owner); }, std::move(done));
}

ParamsDealer::End ParamsDealer::end_of(RawReply& raw, DecodedReply& decoded) {
  End end{raw.outcome, raw.code, std::move(raw.text), nullptr};
  if (raw.outcome != Outcome::ok) return end;
  if (decoded.decode(raw.record, &end.text)) {
    end.reply = &decoded;
  } else {
    end.outcome = Outcome::malformed;
  }
  return end;
}

bool ParamsDealer::wait(const std::function<bool()>& done, Deadline deadline) {
  return loop_.run_until(done, deadline);
}

ParamsRouter::ParamsRouter(Loop& loop, PortOptions options)
    : RouterBase(loop, std::move(options), request_type(), reply_type()) {}

void ParamsRouter::on_request(std::function<void(const Request&, Ticket)> handler) {
  set_handler([this, handler = std::move(handler)](const wire::RecordView& record, Ticket ticket) {
    std::string why;
    if (decoded_.decode(record, &why)) {
      handler(decoded_.request, std::move(ticket));
    } else {
      // Answered here: to say "wrong type" would shut an asker out who had one bad request among good ones.
      ++malformed_;
      ticket.fail(wire::Code::bad_request, why);
    }
    return true;
  });
}

void ParamsRouter::answer(Ticket& ticket, Reply&& reply) {
  ticket.reply([&](wire::BatchBuilder& batch) { encode(batch, std::move(reply)); });
}

}  // namespace weft::ps
