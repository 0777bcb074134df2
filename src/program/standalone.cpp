#include "program/standalone.hpp"

#include <charconv>
#include <map>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::program {
namespace {

using topology::BlockKind;

constexpr unsigned kMostPeers = 65536;

struct Pair {
  std::string key;
  std::string value;
};

Pair split_pair(const std::string& text, std::string_view option, std::string_view shape) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    throw Error(Errc::invalid_argument, format("{} {}: expected {}", option, weft::quoted(text), shape));
  }
  return {text.substr(0, at), text.substr(at + 1)};
}

unsigned parse_count(const std::string& text, std::string_view option, unsigned lowest, unsigned highest) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < lowest || number > highest) {
    throw Error(Errc::invalid_argument, format("{}: expected a whole number from {} to {}, found {}", option,
                                               lowest, highest, weft::quoted(text)));
  }
  return number;
}

topology::Pattern pattern_of(BlockKind block) {
  switch (block) {
    case BlockKind::pub:
    case BlockKind::sub:
      return topology::Pattern::pub_sub;
    case BlockKind::dealer:
    case BlockKind::router:
      return topology::Pattern::dealer_router;
    default:
      return topology::Pattern::push_pull;
  }
}

bool sends(BlockKind block) {
  return block == BlockKind::push || block == BlockKind::pub || block == BlockKind::dealer;
}

struct Port {
  BlockKind block = BlockKind::any;
  std::vector<std::string> binds;
  std::vector<std::string> connects;
  unsigned peers = 1;
};

class Planner {
 public:
  Planner(const Arguments& arguments, const About& about) : arguments_(arguments), about_(about) {}

  topology::NodePlan plan() {
    read_ports();
    topology::NodePlan plan;
    plan.topology = arguments_.scope;
    plan.program = about_.description.program;
    plan.finite = about_.description.finite;
    plan.main = true;
    name(plan);
    plan.options = options();
    for (const auto& [port, settings] : ports_) add(plan, port, settings);
    for (const topology::PortDescription& port : about_.description.ports) {
      if (port.required && !ports_.contains(port.name)) {
        throw Error(Errc::invalid_argument,
                    format("its port {} needs a peer: add --bind {}=ENDPOINT or --connect {}=ENDPOINT",
                           weft::quoted(port.name), port.name, port.name));
      }
    }
    return plan;
  }

 private:
  void read_ports() {
    for (const std::string& text : arguments_.binds) {
      const Pair pair = split_pair(text, "--bind", "PORT=ENDPOINT");
      port(pair.key, "--bind").binds.push_back(pair.value);
    }
    for (const std::string& text : arguments_.connects) {
      const Pair pair = split_pair(text, "--connect", "PORT=ENDPOINT");
      port(pair.key, "--connect").connects.push_back(pair.value);
    }
    for (const std::string& text : arguments_.blocks) {
      const Pair pair = split_pair(text, "--block", "PORT=BLOCK");
      set_block(pair);
    }
    for (const std::string& text : arguments_.peers) {
      const Pair pair = split_pair(text, "--peers", "PORT=COUNT");
      port(pair.key, "--peers").peers = parse_count(pair.value, "--peers " + pair.key, 0, kMostPeers);
    }
  }

  Port& port(const std::string& name, std::string_view option) {
    const auto found = ports_.find(name);
    if (found != ports_.end()) return found->second;
    std::vector<std::string> names;
    Port made;
    bool known = about_.description.open_ports;
    for (const topology::PortDescription& described : about_.description.ports) {
      names.push_back(described.name);
      if (described.name != name) continue;
      known = true;
      made.block = described.block;
    }
    for (const auto& [any, block] : about_.standalone) {
      if (any == name && made.block == BlockKind::any) made.block = block;
    }
    if (!known) {
      throw Error(Errc::invalid_argument, format("{}: there is no port {}; its ports are {}", option,
                                                 weft::quoted(name), join_words(names)));
    }
    return ports_.emplace(name, made).first->second;
  }

  void set_block(const Pair& pair) {
    const auto block = topology::parse_block_kind(pair.value);
    if (!block || *block == BlockKind::any) {
      throw Error(Errc::invalid_argument,
                  format("--block {}: expected push, pull, pub, sub, dealer or router, found {}", pair.key,
                         weft::quoted(pair.value)));
    }
    for (const topology::PortDescription& described : about_.description.ports) {
      if (described.name == pair.key && described.block != BlockKind::any && described.block != *block) {
        throw Error(Errc::invalid_argument,
                    format("--block {}: this port is always a {}", pair.key, to_string(described.block)));
      }
    }
    port(pair.key, "--block").block = *block;
  }

  void name(topology::NodePlan& plan) const {
    if (arguments_.node.empty()) {
      plan.id = {format("{}-{}", about_.description.program, ::getpid()), 0};
      return;
    }
    const std::size_t slash = arguments_.node.find('/');
    plan.id.name = arguments_.node.substr(0, slash);
    if (slash != std::string::npos) {
      plan.id.replica = parse_count(arguments_.node.substr(slash + 1), "--node", 0, kMostPeers);
    }
    plan.replicas = plan.id.replica + 1;
  }

  [[nodiscard]] Value options() const {
    Value out = Value::map();
    for (const std::string& text : arguments_.withs) {
      const std::size_t at = text.find('=');
      if (at == std::string::npos || at == 0) {
        throw Error(Errc::invalid_argument, format("--with {}: expected OPTION=VALUE", weft::quoted(text)));
      }
      const std::string key = text.substr(0, at);
      Value value = text.substr(at + 1);
      for (const topology::OptionDescription& option : about_.description.options) {
        if (option.name == key) {
          value = parse_option_text(about_.description.program, option, text.substr(at + 1));
        }
      }
      out[key] = std::move(value);
    }
    return out;
  }

  static void add(topology::NodePlan& plan, const std::string& port, const Port& settings) {
    if (settings.block == BlockKind::any) {
      throw Error(
          Errc::invalid_argument,
          format("the port {} can be any block: say which, like --block {}=push", weft::quoted(port), port));
    }
    if (settings.binds.empty() == settings.connects.empty()) {
      throw Error(Errc::invalid_argument,
                  format("the port {} needs --bind or --connect, and not both", weft::quoted(port)));
    }
    if (settings.binds.size() > 1) {
      throw Error(Errc::invalid_argument, format("the port {} can be bound once, found {} times --bind",
                                                 weft::quoted(port), settings.binds.size()));
    }
    const bool sender = sends(settings.block);
    const bool binds = !settings.binds.empty();
    const unsigned peers = binds ? settings.peers : static_cast<unsigned>(settings.connects.size());

    topology::LinkPlan link;
    link.id = sender ? port + ">" : ">" + port;
    link.pattern = pattern_of(settings.block);
    link.from_node = sender ? plan.id.name : "*";
    link.to_node = sender ? "*" : plan.id.name;
    link.from_port = sender ? port : "*";
    link.to_port = sender ? "*" : port;
    (sender ? link.to_replicas : link.from_replicas) = peers;
    link.from_binds = sender == binds;
    plan.links.push_back(link);

    topology::EndPlan end;
    end.link = link.id;
    end.port = port;
    end.sender = sender;
    end.binds = binds;
    if (binds) end.endpoint = settings.binds.front();
    for (unsigned i = 0; i < peers; ++i) {
      topology::PeerPlan peer;
      peer.node = {"*", i};
      peer.port = "*";
      if (!binds) peer.endpoint = settings.connects[i];
      end.peers.push_back(peer);
    }
    plan.ends.push_back(std::move(end));
  }

  const Arguments& arguments_;
  const About& about_;
  std::map<std::string, Port> ports_;
};

}  // namespace

topology::NodePlan plan_by_hand(const Arguments& arguments, const About& about) {
  return Planner(arguments, about).plan();
}

}  // namespace weft::program
