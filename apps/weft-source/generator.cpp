// Records that weft-source makes up itself.
#include <random>
#include <string_view>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/program/records.hpp>
#include <weft/wire/pack.hpp>

#include "input.hpp"

namespace weft::source {
namespace {

constexpr unsigned kSourceShift = 40;  // a number is the source's own above, its running number below

// Numbers of one generator: 0, 1, 2, ... over all replicas together, each once, behind the first of its
// source.
class Numbers {
 public:
  Numbers(const Replica& replica, std::uint64_t source)
      : next_((source << kSourceShift) + replica.index), first_(next_), last_(next_), step_(replica.count) {}
  std::uint64_t take() {
    last_ = next_;
    next_ += step_;
    return last_;
  }
  void rewind() { next_ = first_; }
  void skip(std::uint64_t count) { next_ += count * step_; }
  [[nodiscard]] std::uint64_t last() const { return last_; }
  [[nodiscard]] std::uint64_t index_of(std::uint64_t n) const { return (n - first_) / step_; }

 private:
  std::uint64_t next_;
  std::uint64_t first_;
  std::uint64_t last_;
  std::uint64_t step_;
};

/// {"n": 0, "pad": "xxx"}, or with random members {"n": 0, "key": 17, "value": 0.25, "pad": "xxx"}.
class CountingInput final : public Input {
 public:
  CountingInput(const Replica& replica, std::uint64_t source, std::uint64_t size, bool random,
                std::uint64_t seed, std::uint64_t keys)
      : numbers_(replica, source),
        size_(size),
        random_(random),
        engine_(seed + replica.index),
        seed_(seed + replica.index),
        keys_(0, keys - 1) {}

  Next next(wire::Buffer& out) override {
    const std::size_t start = out.size();
    wire::Pack pack(out);
    const bool padded = size_ > 0;
    pack.map((random_ ? 3U : 1U) + (padded ? 1U : 0U));
    pack.str("n");
    pack.uint(numbers_.take());
    if (random_) {
      pack.str("key");
      pack.uint(keys_(engine_));
      pack.str("value");
      pack.real(std::uniform_real_distribution<double>()(engine_));
    }
    if (padded) pad(pack, out.size() - start);
    return Next::record;
  }
  [[nodiscard]] std::optional<std::uint64_t> number() const override { return numbers_.last(); }
  [[nodiscard]] std::uint64_t index_of(std::uint64_t number) const override {
    return numbers_.index_of(number);
  }
  bool skip(std::uint64_t records) override {
    if (!random_) {
      numbers_.skip(records);
      return true;
    }
    // The random members of a record depend on all before it.
    for (wire::Buffer unwanted; records != 0; --records, unwanted.clear()) (void)next(unwanted);
    return true;
  }
  bool rewind() override {
    numbers_.rewind();
    engine_.seed(seed_);
    return true;
  }

 private:
  // Fills up to size_ bytes; the head of a text is 1 byte up to 31 bytes of text, 2 up to 255, 3 up to 64
  // KiB.
  void pad(wire::Pack& pack, std::size_t used) {
    constexpr std::size_t kKey = 4;
    const std::size_t room = size_ > used + kKey + 1 ? size_ - used - kKey : 1;
    const std::size_t head = room <= 32 ? 1 : room <= 257 ? 2 : room <= 65538 ? 3 : 5;
    padding_.resize(room - head, 'x');
    pack.str("pad");
    pack.str(padding_);
  }

  Numbers numbers_;
  std::uint64_t size_;
  bool random_;
  std::mt19937_64 engine_;
  std::uint64_t seed_;
  std::uniform_int_distribution<std::uint64_t> keys_;
  std::string padding_;
};

/// A tree whose texts may hold {n}, {random}, {node} and {replica}; one that is nothing else takes the type.
class TemplateInput final : public Input {
 public:
  TemplateInput(const Replica& replica, std::uint64_t source, Value tree, std::uint64_t seed)
      : replica_(replica),
        numbers_(replica, source),
        tree_(std::move(tree)),
        engine_(seed + replica.index),
        seed_(seed + replica.index) {}

  Next next(wire::Buffer& out) override {
    n_ = numbers_.take();
    program::pack_value(fill(tree_), out);
    return Next::record;
  }
  [[nodiscard]] std::optional<std::uint64_t> number() const override { return n_; }
  [[nodiscard]] std::uint64_t index_of(std::uint64_t number) const override {
    return numbers_.index_of(number);
  }
  bool skip(std::uint64_t records) override {
    for (wire::Buffer unwanted; records != 0; --records, unwanted.clear()) (void)next(unwanted);
    return true;
  }
  bool rewind() override {
    numbers_.rewind();
    engine_.seed(seed_);
    return true;
  }

 private:
  Value fill(const Value& from) {
    if (from.is_string()) return fill_text(from.as_string());
    if (from.is_list()) {
      Value out = Value::list();
      for (const Value& item : from.as_list()) out.push_back(fill(item));
      return out;
    }
    if (from.is_map()) {
      Value out = Value::map();
      for (const auto& [key, item] : from.as_map()) out[key] = fill(item);
      return out;
    }
    return from;
  }

  Value word(std::string_view name) {
    if (name == "n") return n_;
    if (name == "random") return std::uniform_real_distribution<double>()(engine_);
    if (name == "node") return replica_.node;
    if (name == "replica") return replica_.index;
    return {};
  }

  Value fill_text(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t open = text.find('{', at);
      const std::size_t close = open == std::string_view::npos ? open : text.find('}', open);
      if (close == std::string_view::npos) {
        out += text.substr(at);
        break;
      }
      const Value value = word(text.substr(open + 1, close - open - 1));
      if (!value.is_null() && open == 0 && close + 1 == text.size()) return value;
      out += text.substr(at, open - at);
      out += value.is_null()     ? std::string(text.substr(open, close - open + 1))
             : value.is_string() ? value.as_string()
             : value.is_int()    ? format("{}", value.as_uint())
                                 : format("{}", value.as_double());
      at = close + 1;
    }
    return out;
  }

  Replica replica_;
  Numbers numbers_;
  Value tree_;
  std::mt19937_64 engine_;
  std::uint64_t seed_;
  std::uint64_t n_ = 0;
};

}  // namespace

std::unique_ptr<Input> make_generator(const program::Options& options, const Replica& replica) {
  const program::Options given("weft-source: generator", generator_options(), options.value("generator"));
  const auto seed = static_cast<std::uint64_t>(given.integer("seed"));
  const auto source = static_cast<std::uint64_t>(given.integer("source"));
  const std::string& kind = given.text("kind");
  if (kind == "template") {
    if (!given.has("template"))
      given.refuse("template", "is missing; kind: template needs the record to send");
    return std::make_unique<TemplateInput>(replica, source, given.value("template"), seed);
  }
  return std::make_unique<CountingInput>(replica, source, given.size("size"), kind == "random", seed,
                                         static_cast<std::uint64_t>(given.integer("keys")));
}

}  // namespace weft::source
