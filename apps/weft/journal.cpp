// weft journal: what is in a journal, whether it is sound, and the removal of a space or of damaged files.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/journal/disk.hpp>
#include <weft/journal/store.hpp>
#include <weft/wire/pack.hpp>

#include "table.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

using journal::Store;

constexpr std::size_t kShownBytes = 48;
// Erased in one commit of a purge.
constexpr std::size_t kPurgeBytes = 1 << 20;
constexpr int kLiveTries = 10;
constexpr const char* kHex = "0123456789abcdef";

std::string hex(Bytes bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += kHex[static_cast<unsigned>(b) >> 4];
    out += kHex[static_cast<unsigned>(b) & 15];
  }
  return out;
}

bool is_printable(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return is_utf8(text);
}

std::string shown_key(Bytes key) {
  return is_printable(key) ? std::string(as_text(key)) : "0x" + hex(key);
}

// What can be read of it, dots for the rest.
std::string beginning(Bytes value) {
  std::string out;
  for (const std::byte b : value.first(std::min(value.size(), kShownBytes))) {
    const char c = static_cast<char>(b);
    out += c >= 0x20 && c < 0x7f ? c : '.';
  }
  return out;
}

// The number of msgpack objects when the value is nothing else, as the body of a batch is.
std::optional<std::uint64_t> count_objects(Bytes value) {
  wire::Unpack in(value);
  std::uint64_t count = 0;
  while (!in.done()) {
    if (!in.object()) return std::nullopt;
    ++count;
  }
  return count == 0 ? std::nullopt : std::optional(count);
}

Value damage_list(const std::vector<JournalDamage>& damage) {
  Value list = Value::list();
  for (const JournalDamage& one : damage) {
    Value item = Value::map();
    item["file"] = one.file;
    item["offset"] = one.offset;
    item["bytes"] = one.bytes;
    item["what"] = one.what;
    list.push_back(std::move(item));
  }
  return list;
}

void print_damage(const std::vector<JournalDamage>& damage, std::FILE* to) {
  for (const JournalDamage& one : damage) {
    std::fprintf(to, "%s: %llu bytes from %llu on: %s\n", one.file.c_str(),
                 static_cast<unsigned long long>(one.bytes), static_cast<unsigned long long>(one.offset),
                 one.what.c_str());
  }
}

Store read_only(const std::string& path) {
  return Store({.path = path}, Store::Access::read_only);
}

int list_spaces(const JournalVerb& verb) {
  const Store store = read_only(verb.file);
  const JournalStats stats = store.stats();
  Table table({"space", ">values", ">bytes"});
  Value list = Value::list();
  for (const std::string& space : store.spaces()) {
    Value one = Value::map();
    one["space"] = space;
    one["values"] = store.count(space);
    one["bytes"] = store.bytes(space);
    list.push_back(std::move(one));
    table.add({space, humane_count(store.count(space)), humane_size(store.bytes(space))});
  }
  if (verb.json) {
    Value out = Value::map();
    out["file"] = store.path();
    out["owner"] = store.owner();
    out["spaces"] = std::move(list);
    out["segments"] = stats.segments;
    out["disk_bytes"] = stats.disk_bytes;
    out["live_bytes"] = stats.live_bytes;
    out["damage"] = damage_list(store.damage());
    std::printf("%s\n", to_json(out).c_str());
    return kOk;
  }
  std::printf("%s: %s values, %s in %s segments of %s%s\n", store.path().c_str(),
              humane_count(stats.live_values).c_str(), humane_size(stats.live_bytes).c_str(),
              humane_count(stats.segments).c_str(), humane_size(stats.disk_bytes).c_str(),
              store.owner().empty() ? "" : format(", owned by process {}", store.owner()).c_str());
  if (!table.empty()) std::printf("%s", table.text().c_str());
  print_damage(store.damage(), stderr);
  return kOk;
}

Value peeked(Bytes key, Bytes value, bool as_hex) {
  Value one = Value::map();
  one["key"] = shown_key(key);
  one["bytes"] = value.size();
  if (const auto objects = count_objects(value)) one["objects"] = *objects;
  if (as_hex) {
    one["hex"] = hex(value);
  } else {
    one["beginning"] = beginning(value);
  }
  return one;
}

int peek(const JournalVerb& verb) {
  const Store store = read_only(verb.file);
  if (store.count(verb.space) == 0) {
    throw Error(Errc::not_found, format("{}: there is no space {}; it has {}", store.path(),
                                        weft::quoted(verb.space), join_words(store.spaces())));
  }
  Value list = Value::list();
  Table table({"key", ">bytes", ">objects", "value"});
  std::uint64_t left = verb.count;
  store.for_each_from(verb.space, {}, [&](Bytes key, Bytes value) {
    if (verb.json) {
      list.push_back(peeked(key, value, verb.hex));
    } else {
      const auto objects = count_objects(value);
      table.add({shown_key(key), humane_count(value.size()), objects ? humane_count(*objects) : "-",
                 verb.hex ? hex(value) : beginning(value)});
    }
    return --left != 0;
  });
  if (verb.json) {
    Value out = Value::map();
    out["file"] = store.path();
    out["space"] = verb.space;
    out["count"] = store.count(verb.space);
    out["values"] = std::move(list);
    std::printf("%s\n", to_json(out).c_str());
  } else {
    std::printf("%s", table.text("").c_str());
    if (verb.count < store.count(verb.space)) {
      std::printf("... and %s more (--count)\n", humane_count(store.count(verb.space) - verb.count).c_str());
    }
  }
  print_damage(store.damage(), stderr);
  return kOk;
}

std::uint64_t read_all(const Store& store) {
  std::uint64_t values = 0;
  for (const std::string& space : store.spaces()) {
    store.for_each_from(space, {}, [&values](Bytes /*key*/, Bytes /*value*/) { return ++values != 0; });
  }
  return values;
}

int verify(const JournalVerb& verb) {
  auto opened = std::make_unique<Store>(JournalOptions{.path = verb.file}, Store::Access::read_only);
  std::uint64_t values = read_all(*opened);
  // An owner may reclaim a segment between our look at it and our reading: only what stays is damage.
  for (int tries = 1; tries < kLiveTries && !opened->owner().empty() && !opened->damage().empty(); ++tries) {
    opened = std::make_unique<Store>(JournalOptions{.path = verb.file}, Store::Access::read_only);
    values = read_all(*opened);
  }
  const Store& store = *opened;
  const bool is_sound = store.damage().empty();
  if (verb.json) {
    Value out = Value::map();
    out["ok"] = is_sound;
    out["file"] = store.path();
    out["values"] = values;
    out["segments"] = store.stats().segments;
    out["disk_bytes"] = store.stats().disk_bytes;
    out["damage"] = damage_list(store.damage());
    std::printf("%s\n", to_json(out).c_str());
  } else {
    print_damage(store.damage(), stdout);
    std::printf("%s: %s, %s values read\n", store.path().c_str(), is_sound ? "sound" : "damaged",
                humane_count(values).c_str());
  }
  return is_sound ? kOk : kFailed;
}

void flush(Store& store) {
  const Store::Flush done = store.flush();
  if (done == Store::Flush::no_space)
    throw Error(Errc::io, store.path() + ": the disk is full; make room and try again");
  if (done == Store::Flush::failed) throw Error(Errc::io, store.failure().value_or(store.path()));
}

int purge(const JournalVerb& verb) {
  if (!verb.yes) {
    throw Error(Errc::invalid_argument,
                format("purge erases every value of {} for good; say --yes when that is meant",
                       weft::quoted(verb.space)));
  }
  (void)read_only(verb.file);  // a path where no journal is stays as it is
  Store store({.path = verb.file});
  std::vector<std::string> keys;
  store.for_each_key(verb.space, [&keys](Bytes key) { keys.emplace_back(as_text(key)); });
  if (keys.empty()) {
    throw Error(Errc::not_found, format("{}: there is no space {}; it has {}", store.path(),
                                        weft::quoted(verb.space), join_words(store.spaces())));
  }
  JournalTxn changes;
  const auto commit = [&] {
    if (store.submit(changes) != CommitStatus::ok)
      throw Error(Errc::io, store.failure().value_or(store.path() + ": no room for the erasures"));
    flush(store);
  };
  for (const std::string& key : keys) {
    changes.erase(verb.space, as_bytes(key));
    if (changes.bytes() > kPurgeBytes) commit();
  }
  commit();
  if (verb.json) {
    Value out = Value::map();
    out["file"] = store.path();
    out["space"] = verb.space;
    out["erased"] = keys.size();
    std::printf("%s\n", to_json(out).c_str());
  } else {
    std::printf("%s: %s values of %s erased\n", store.path().c_str(), humane_count(keys.size()).c_str(),
                weft::quoted(verb.space).c_str());
  }
  return kOk;
}

// What recovery and reclaiming have set aside. Nobody but people reads these files, so they may go while the
// journal is in use.
int damaged(const JournalVerb& verb) {
  (void)read_only(verb.file);  // a path where no journal is stays as it is
  if (verb.remove && !verb.yes) {
    throw Error(Errc::invalid_argument,
                "damaged --remove deletes what can still be read in the files for good; say --yes when that "
                "is meant");
  }
  const auto disk = journal::Disk::posix();
  Value files = Value::list();
  Table table({"file", ">bytes"});
  std::uint64_t bytes = 0;
  for (const std::string& name : disk->list(verb.file).names) {
    if (!name.ends_with(".damaged")) continue;
    const std::string path = verb.file + (verb.file.ends_with('/') ? "" : "/") + name;
    const auto opened = disk->open(path, journal::Disk::Mode::read);
    const std::uint64_t size = opened.file ? opened.file->size() : 0;
    if (const int error = verb.remove ? disk->remove(path) : 0; error != 0)
      throw Error(Errc::io, format("{}: cannot remove it: {}", path, std::strerror(error)));
    Value one = Value::map();
    one["file"] = path;
    one["bytes"] = size;
    files.push_back(std::move(one));
    table.add({path, humane_size(size)});
    bytes += size;
  }
  const std::size_t count = files.as_list().size();
  if (verb.json) {
    Value out = Value::map();
    out["file"] = verb.file;
    out["files"] = std::move(files);
    out["bytes"] = bytes;
    out["removed"] = verb.remove;
    std::printf("%s\n", to_json(out).c_str());
    return kOk;
  }
  std::printf("%s: %s in %s damaged %s%s\n", verb.file.c_str(), humane_size(bytes).c_str(),
              humane_count(count).c_str(), count == 1 ? "file" : "files", verb.remove ? ", removed" : "");
  if (!table.empty()) std::printf("%s", table.text().c_str());
  return kOk;
}

}  // namespace

int run_verb(const JournalVerb& verb) {
  if (verb.what == "ls") return list_spaces(verb);
  if (verb.what == "peek") return peek(verb);
  if (verb.what == "verify") return verify(verb);
  if (verb.what == "damaged") return damaged(verb);
  return purge(verb);
}

}  // namespace weft::cli
