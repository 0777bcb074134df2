#include <weft/sim/disk.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace weft::sim {
namespace {

constexpr std::uint64_t kSector = 512;

bool inside(std::string_view directory, std::string_view path) {
  return path.size() > directory.size() + 1 && path.starts_with(directory) && path[directory.size()] == '/' &&
         path.find('/', directory.size() + 1) == std::string_view::npos;
}

}  // namespace

class SimDisk::SimFile final : public journal::File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<Node> node)
      : disk_(disk), node_(std::move(node)), life_(disk.life_) {}

  journal::IoResult write(std::uint64_t offset, std::span<const Bytes> parts) override {
    if (gone()) return {0, EIO};
    std::size_t total = 0;
    for (const Bytes part : parts) total += part.size();
    std::size_t room = total;
    if (disk_.full_ && offset + total > node_->now.size())
      room = static_cast<std::size_t>(disk_.random_.below(total));
    if (offset + room > node_->now.size()) node_->now.resize(offset + room);
    std::size_t done = 0;
    for (const Bytes part : parts) {
      const std::size_t n = std::min(part.size(), room - done);
      if (n != 0) std::memcpy(node_->now.data() + offset + done, part.data(), n);
      done += n;
    }
    touch(*node_, offset, offset + done);
    return {done, done < total ? ENOSPC : 0};
  }
  journal::IoResult read(std::uint64_t offset, std::span<std::byte> to) override {
    if (life_ != disk_.life_) return {0, EIO};
    if (offset >= node_->now.size()) return {0, 0};
    const std::size_t n = std::min<std::size_t>(to.size(), node_->now.size() - offset);
    if (n != 0) std::memcpy(to.data(), node_->now.data() + offset, n);
    return {n, 0};
  }
  int sync() override {
    if (gone()) return EIO;
    settle(*node_);
    return 0;
  }
  int truncate(std::uint64_t size) override {
    if (gone()) return EIO;
    touch(*node_, std::min<std::uint64_t>(size, node_->now.size()), node_->now.size());
    node_->now.resize(size);
    return 0;
  }
  std::uint64_t size() override { return node_->now.size(); }

 private:
  bool gone() { return life_ != disk_.life_ || disk_.broken(); }

  SimDisk& disk_;
  std::shared_ptr<Node> node_;
  std::uint64_t life_;
};

class SimDisk::SimLock final : public journal::DiskLock {
 public:
  SimLock(SimDisk& disk, std::string path) : disk_(disk), path_(std::move(path)), life_(disk.life_) {}
  ~SimLock() override {
    if (life_ == disk_.life_) disk_.locks_.erase(path_);
  }

 private:
  SimDisk& disk_;
  std::string path_;
  std::uint64_t life_;
};

void SimDisk::touch(Node& node, std::uint64_t from, std::uint64_t to) {
  if (from == to) return;
  node.dirty_from = std::min(node.dirty_from, from);
  node.dirty_to = std::max(node.dirty_to, to);
}

void SimDisk::settle(Node& node) {
  node.medium.resize(node.now.size());
  const std::uint64_t to = std::min<std::uint64_t>(node.dirty_to, node.now.size());
  if (node.dirty_from < to)
    std::memcpy(node.medium.data() + node.dirty_from, node.now.data() + node.dirty_from,
                to - node.dirty_from);
  node.dirty_from = UINT64_MAX;
  node.dirty_to = 0;
}

// What a sector holds after a power failure is what it held before or what was written; the length of the
// file is one of the two, or anything between.
void SimDisk::tear(Node& node) {
  if (node.dirty_from >= node.dirty_to) return;
  std::vector<std::byte> mixed = node.medium;
  const std::uint64_t low = std::min(node.medium.size(), node.now.size());
  const std::uint64_t high = std::max(node.medium.size(), node.now.size());
  mixed.resize(random_.between(low, high));
  for (std::uint64_t at = node.dirty_from / kSector * kSector; at < mixed.size() && at < node.dirty_to;
       at += kSector) {
    if (random_.chance(0.5)) continue;
    const std::uint64_t to = std::min<std::uint64_t>({at + kSector, mixed.size(), node.now.size()});
    if (at < to) std::memcpy(mixed.data() + at, node.now.data() + at, to - at);
  }
  node.now = node.medium = std::move(mixed);
  node.dirty_from = UINT64_MAX;
  node.dirty_to = 0;
}

bool SimDisk::broken() {
  if (left_ == UINT64_MAX) return false;
  if (left_ == 0) return true;
  --left_;
  return false;
}

void SimDisk::kill() {
  ++life_;
  locks_.clear();
  left_ = UINT64_MAX;
}

void SimDisk::fail() {
  kill();
  if (random_.chance(0.5)) names_ = medium_;
  for (const auto& [path, node] : names_) {
    if (node) tear(*node);
  }
  medium_ = names_;
}

std::uint64_t SimDisk::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [path, node] : names_) sum += node ? node->now.size() : 0;
  return sum;
}

journal::Disk::Opened SimDisk::open(const std::string& path, Mode mode) {
  auto found = names_.find(path);
  if (mode == Mode::create) {
    auto node = std::make_shared<Node>();
    names_[path] = node;
    return {std::make_unique<SimFile>(*this, node), 0};
  }
  if (found == names_.end()) return {nullptr, ENOENT};
  if (!found->second) return {nullptr, EISDIR};
  return {std::make_unique<SimFile>(*this, found->second), 0};
}

journal::Disk::Listed SimDisk::list(const std::string& directory) {
  const auto found = names_.find(directory);
  if (found == names_.end()) return {{}, ENOENT};
  if (found->second) return {{}, ENOTDIR};
  Listed out;
  for (const auto& [path, node] : names_) {
    if (inside(directory, path)) out.names.push_back(path.substr(directory.size() + 1));
  }
  return out;
}

int SimDisk::make_directory(const std::string& path) {
  return names_.try_emplace(path, nullptr).second ? 0 : EEXIST;
}

int SimDisk::rename(const std::string& from, const std::string& to) {
  const auto found = names_.find(from);
  if (found == names_.end()) return ENOENT;
  names_[to] = found->second;
  names_.erase(from);
  return 0;
}

int SimDisk::remove(const std::string& path) {
  return names_.erase(path) != 0 ? 0 : ENOENT;
}

int SimDisk::sync_directory(const std::string& directory) {
  const auto same = [&](const std::string& path) { return path == directory || inside(directory, path); };
  std::erase_if(medium_,
                [&](const auto& entry) { return same(entry.first) && !names_.contains(entry.first); });
  for (const auto& [path, node] : names_) {
    if (same(path)) medium_[path] = node;
  }
  return 0;
}

journal::Disk::Locked SimDisk::lock(const std::string& path) {
  if (!locks_.emplace(path, life_).second) return {nullptr, EAGAIN, "1"};
  names_.try_emplace(path, std::make_shared<Node>());
  return {std::make_unique<SimLock>(*this, path), 0, {}};
}

std::string SimDisk::lock_owner(const std::string& path) {
  return locks_.contains(path) ? "1" : "";
}

}  // namespace weft::sim
