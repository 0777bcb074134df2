// `hosts:` and `endpoint:`: addresses for every binding replica, and no address twice.
#include <map>

#include <weft/core/endpoint.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "model.hpp"

namespace weft::topology {
namespace {

struct Binder {
  const NodeSpec* node = nullptr;
  std::string port;
};

// The binding end, once both nodes are known.
Binder binder_of(const Model& model, const LinkSpec& link) {
  if (link.plan.id.empty()) return {};
  const PortRef& ref = link.plan.from_binds ? *link.from : *link.to;
  return {model.node(ref.node), ref.port};
}

bool publishes(const LinkSpec& link) {
  return link.pattern == Pattern::pub_sub;
}

// What replica owners bind and peers connect to: of a process of its own, and with room for a publisher's
// data.
std::optional<Endpoint> read_address(std::string_view text, bool publisher, std::string& why) {
  auto endpoint = parse_endpoint(text, EndpointUse::connect, why);
  if (!endpoint) return endpoint;
  if (endpoint->kind == Endpoint::Kind::inproc) {
    why = "inproc joins threads of one program, and nodes are processes; use ipc or tcp";
    return std::nullopt;
  }
  if (endpoint->kind == Endpoint::Kind::ipc && publisher &&
      endpoint->path.size() > kLongestIpcPath - kDataSuffix.size()) {
    why = format(
        "the path has {} bytes and the system allows {} (107, less five for the publisher's data socket)",
        endpoint->path.size(), kLongestIpcPath - kDataSuffix.size());
    return std::nullopt;
  }
  return endpoint;
}

class Addresses {
 public:
  Addresses(Model& model, Problems& problems) : model_(model), problems_(problems) {}

  void check_link(LinkSpec& link) {
    if (!link.endpoint || link.endpoints.empty()) return;
    std::vector<Endpoint> parsed;
    for (const Located& entry : link.endpoints) {
      std::string why;
      const auto endpoint = read_address(entry.text, publishes(link), why);
      if (!endpoint) {
        problems_.add(*entry.at, format("bad address {}: {}", weft::quoted(entry.text, 120), why));
      } else if (fits_transport(link, *endpoint, *entry.at)) {
        parsed.push_back(*endpoint);
      }
    }
    const Binder binder = binder_of(model_, link);
    if (!binder.node || !binder.node->replicas_known) return;
    if (link.endpoints.size() != binder.node->replicas) {
      problems_.add(
          *link.endpoint,
          format("{}.endpoint has {}, but {} binds here with {}; give one address a replica", link.path,
                 counted(link.endpoints.size(), "address", "addresses"), weft::quoted(binder.node->name),
                 counted(binder.node->replicas, "replica", "replicas")));
      return;
    }
    if (parsed.size() != link.endpoints.size()) return;
    for (std::size_t i = 0; i < parsed.size(); ++i) give(link, binder, i, parsed[i], *link.endpoints[i].at);
  }

  void check_hosts(const HostsSpec& spec) {
    const NodeSpec* node = model_.node(spec.node);
    if (!node) {
      const auto names = model_.node_names();
      problems_.add(spec.place, format("hosts names {}, but there is no such node{}", weft::quoted(spec.node),
                                       offer(spec.node, names, "the nodes are")));
      return;
    }
    if (node->replicas_known && spec.hosts.size() != node->replicas) {
      problems_.add(spec.place, format("hosts.{} has {}, but the node has {}; give one host:port a replica",
                                       spec.node, counted(spec.hosts.size(), "entry", "entries"),
                                       counted(node->replicas, "replica", "replicas")));
      return;
    }
    std::vector<LinkSpec*> binding = links_bound_by(*node);
    if (binding.empty() && !model_.unreadable_links) {
      problems_.add(
          spec.place,
          format("hosts.{} is of no use: the node binds no link without an endpoint of its own; name "
                 "the node at the other end, or set bind on a link",
                 spec.node));
    }
    for (std::size_t replica = 0; replica < spec.hosts.size(); ++replica) {
      give_host(*node, replica, spec.hosts[replica], binding);
    }
  }

 private:
  static std::string counted(std::size_t number, std::string_view one, std::string_view many) {
    return format("{} {}", number, number == 1 ? one : many);
  }

  bool fits_transport(const LinkSpec& link, const Endpoint& endpoint, const Tree& at) {
    const Transport transport = link.plan.transport;
    const bool either =
        transport == Transport::automatic || transport == Transport::inproc || transport == Transport::shm;
    const bool fits = either || (transport == Transport::tcp) == endpoint.is_tcp();
    if (!fits) {
      problems_.add(at, format("the address {} does not fit {}.transport, which is {}",
                               weft::quoted(endpoint.text(), 120), link.path, to_string(transport)));
    }
    return fits;
  }

  std::vector<LinkSpec*> links_bound_by(const NodeSpec& node) {
    std::vector<LinkSpec*> binding;
    for (LinkSpec& link : model_.links) {
      if (binder_of(model_, link).node == &node && !link.endpoint) binding.push_back(&link);
    }
    return binding;
  }

  // Links take consecutive ports in the order of the file; a publisher takes two, for its data socket.
  void give_host(const NodeSpec& node, std::size_t replica, const Located& host,
                 const std::vector<LinkSpec*>& binding) {
    std::string why;
    auto endpoint = parse_endpoint("tcp://" + host.text, EndpointUse::connect, why);
    if (!endpoint) {
      problems_.add(*host.at, format("bad entry {} of hosts.{}: {}; an entry is host:port, without tcp://",
                                     weft::quoted(host.text), node.name, why));
      return;
    }
    unsigned port = endpoint->port_number();
    for (LinkSpec* link : binding) {
      const unsigned taken = publishes(*link) ? 2 : 1;
      if (port + taken - 1 > 65535) {
        problems_.add(*host.at,
                      format("{} leaves no port number below 65536 for all links that {} binds; start lower",
                             weft::quoted(host.text), weft::quoted(node.name)));
        return;
      }
      if (!fits_transport(*link, *endpoint, *host.at)) return;
      endpoint->port = std::to_string(port);
      give(*link, binder_of(model_, *link), replica, *endpoint, *host.at);
      port += taken;
    }
  }

  void give(LinkSpec& link, const Binder& binder, std::size_t replica, const Endpoint& endpoint,
            const Tree& at) {
    const std::string owner = format("{}/{}.{}", binder.node->name, replica, binder.port);
    link.addresses.push_back(endpoint.text());
    take(endpoint.text(), owner, at);
    if (!publishes(link)) return;
    if (endpoint.is_tcp() && endpoint.port_number() == 65535) {
      problems_.add(
          at, format("{} leaves no port number for the publisher's data socket, which takes the next one",
                     weft::quoted(endpoint.text())));
      return;
    }
    take(endpoint.data().text(), owner + " (data)", at);
  }

  void take(const std::string& address, const std::string& owner, const Tree& at) {
    const auto [first, fresh] = owners_.emplace(address, owner);
    if (fresh) return;
    problems_.add(at, format("{} would be bound twice: by {} and by {}; give each its own", address,
                             first->second, owner));
  }

  Model& model_;
  Problems& problems_;
  std::map<std::string, std::string> owners_;
};

}  // namespace

void check_endpoints(Model& model, Problems& problems) {
  Addresses addresses(model, problems);
  for (LinkSpec& link : model.links) addresses.check_link(link);
  for (const HostsSpec& spec : model.hosts) addresses.check_hosts(spec);
}

}  // namespace weft::topology
