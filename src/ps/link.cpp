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

/// The numbers of a tensor; copied into `copy` when the frame does not lie aligned, which the network alone
/// decides. False: another element type.
template <class T>
bool numbers_of(const Tensor& tensor, std::vector<T>& copy, std::span<const T>& out) {
  if (tensor.dtype != dtype_of<T>()) return false;
  out = tensor.as<T>();
  if (!out.empty() || tensor.data.empty()) return true;
  copy.resize(tensor.data.size() / sizeof(T));
  std::memcpy(copy.data(), tensor.data.data(), copy.size() * sizeof(T));
  out = copy;
  return true;
}

std::optional<Tensor> next_tensor(wire::Unpack& in, std::span<const Tensor> frames) {
  const auto ext = in.ext();
  if (!ext || ext->type != wire::kTensorExt) return std::nullopt;
  const auto reference = wire::unpack_tensor_ref(ext->payload);
  return reference ? wire::resolve(*reference, frames) : std::nullopt;
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

void encode(wire::BatchBuilder& batch, const Request& request) {
  const std::size_t frames = !request.values.empty() ? 2 : !request.keys.empty() ? 1 : 0;
  batch.add([&](wire::Buffer& out) {
    wire::Pack pack(out);
    pack.array(kRequestFields.size() + frames);
    pack.uint(static_cast<std::uint8_t>(request.op));
    for (const std::uint64_t number : {std::uint64_t{request.table}, std::uint64_t{request.worker},
                                       request.epoch, request.seq, request.clock, request.number}) {
      pack.uint(number);
    }
    const auto add = [&](const Tensor& tensor) {
      wire::pack_tensor_ref(out, batch.add_tensor(tensor), tensor);
    };
    if (frames > 0) add(Tensor::view(request.keys));
    if (frames > 1) add(Tensor::view(request.values));
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
  for (std::size_t i = numbers.size(); i < *items; ++i) {
    const bool first = i == numbers.size();
    auto tensor = next_tensor(in, record.tensors);
    (first ? keys : values) = tensor ? std::move(*tensor) : Tensor{};
    const bool good = tensor && (first ? numbers_of(keys, key_copy, request.keys)
                                       : numbers_of(values, value_copy, request.values));
    if (!good) {
      return no(why, first ? "item 7 of the request (keys) is no tensor of U64 that came with it"
                           : "item 8 of the request (values) is no tensor of F32 that came with it");
    }
  }
  return true;
}

void encode(wire::BatchBuilder& batch, Reply reply) {
  batch.add([&](wire::Buffer& out) {
    wire::Pack pack(out);
    pack.array(kReplyFields + (reply.values.empty() ? 0 : 1));
    pack.uint(static_cast<std::uint8_t>(reply.status));
    pack.str(reply.text);
    pack.uint(reply.clock);
    pack.uint(reply.min_clock);
    pack.value(reply.info);
    if (reply.values.empty()) return;
    const Tensor tensor = Tensor::own(std::move(reply.values));
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
  auto info = in.value();
  if (!status || *status > kLastStatus || !text || !clock || !min_clock || !info)
    return no(why, "the reply is not [status, text, clock, min_clock, info]");
  reply.status = static_cast<Status>(*status);
  reply.text = *text;
  reply.clock = *clock;
  reply.min_clock = *min_clock;
  reply.info = std::move(*info);
  values = {};
  if (*items == kReplyFields) return true;
  auto tensor = next_tensor(in, record.tensors);
  if (!tensor || !numbers_of(*tensor, value_copy, values))
    return no(why, "the values of the reply are no tensor of F32 that came with it");
  frame = std::move(*tensor);
  return true;
}

ParamsDealer::ParamsDealer(Loop& loop, PortOptions options)
    : DealerBase(loop, std::move(options), request_type(), reply_type()), loop_(loop) {}

void ParamsDealer::send(const Request& request, std::string_view server, Deadline deadline,
                        std::function<void(const End&)> done) {
  RequestTo to;
  to.peer = server;
  submit(
      to, deadline, [&](wire::BatchBuilder& batch) { encode(batch, request); },
      [done = std::move(done)](RawReply& raw) {
        End end{raw.outcome, raw.code, std::move(raw.text), nullptr};
        DecodedReply decoded;
        if (raw.outcome == Outcome::ok) {
          if (decoded.decode(raw.record, &end.text)) {
            end.reply = &decoded;
          } else {
            end.outcome = Outcome::malformed;
          }
        }
        done(end);
      });
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

void ParamsRouter::answer(Ticket& ticket, Reply reply) {
  ticket.reply([&](wire::BatchBuilder& batch) { encode(batch, std::move(reply)); });
}

}  // namespace weft::ps
