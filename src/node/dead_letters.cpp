// Where the records go that a Push could not deliver: a port that the node opens itself.
#include <memory>
#include <utility>

#include <weft/blocks/dead_letter.hpp>
#include <weft/blocks/push.hpp>

#include "node/node_impl.hpp"

namespace weft {
namespace {

/// Any record, written into the batch where it goes.
class LetterPush : public PushBase {
 public:
  LetterPush(Loop& loop, PortOptions options) : PushBase(loop, std::move(options), RecordType{}) {}
  SendStatus send(std::string_view link, const DeadLetter& letter) {
    return put(nullptr, [&](wire::BatchBuilder& batch) { add_dead_letter(batch, link, letter); });
  }
};

}  // namespace

/// A port with a dead letter has one link, since it is a Push.
void Node::Impl::open_dead_letters(const NodePort& port) {
  auto* const push = dynamic_cast<PushBase*>(port.block.get());
  if (!push) return;
  for (const topology::EndPlan* end : port.ends) {
    if (!end->sender || link(end->link).dead_letter.empty()) continue;
    const std::string name = topology::dead_letter_port(port.name);
    auto letters = std::make_unique<LetterPush>(loop, self.port_options(name));
    LetterPush* const box = letters.get();
    self.adopt(name, std::move(letters));
    // What the box does not take now (would_block) it is offered again.
    push->on_dead_letter([box, id = end->link](const DeadLetter& letter) { return box->send(id, letter); });
  }
}

}  // namespace weft
