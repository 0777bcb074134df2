#include <weft/core/log.hpp>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <weft/core/error.hpp>
#include <weft/core/text.hpp>

namespace weft {
namespace {

class StderrSink final : public Logger::Sink {
 public:
  explicit StderrSink(Logger::Colours colours)
      : sink_(colours == Logger::Colours::never ? spdlog::color_mode::never : spdlog::color_mode::automatic) {
    sink_.set_formatter(std::make_unique<spdlog::pattern_formatter>("%H:%M:%S.%e %^%l%$ %n: %v"));
  }

  void write(LogLevel level, std::string_view name, std::string_view message) override {
    sink_.log(spdlog::details::log_msg(spdlog::string_view_t(name.data(), name.size()), level_of(level),
                                       spdlog::string_view_t(message.data(), message.size())));
    sink_.flush();
  }

 private:
  static spdlog::level::level_enum level_of(LogLevel level) {
    switch (level) {
      case LogLevel::debug:
        return spdlog::level::debug;
      case LogLevel::info:
        return spdlog::level::info;
      case LogLevel::warn:
        return spdlog::level::warn;
      default:
        return spdlog::level::err;
    }
  }
  spdlog::sinks::stderr_color_sink_mt sink_;
};

}  // namespace

LogLevel parse_log_level(std::string_view text) {
  if (text == "debug") return LogLevel::debug;
  if (text == "info") return LogLevel::info;
  if (text == "warn") return LogLevel::warn;
  if (text == "error") return LogLevel::error;
  if (text == "off") return LogLevel::off;
  throw Error(Errc::invalid_argument,
              "log level " + quoted(text) + " is unknown: use debug, info, warn, error or off");
}

Logger Logger::to_stderr(std::string name, LogLevel threshold, Colours colours) {
  return {std::make_shared<StderrSink>(colours), std::move(name), threshold};
}

}  // namespace weft
