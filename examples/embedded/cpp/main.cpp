// A gateway that is one native program in plain C++17: it answers GET /health and nothing else.

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
using Socket = SOCKET;
using SocketLength = int;
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
using Socket = int;
using SocketLength = socklen_t;
constexpr Socket INVALID_SOCKET = -1;
#endif

namespace {

constexpr std::string_view kVersion = "0.1.0";
constexpr std::size_t kMaxHeadBytes = 8192;
constexpr int kStopCheckMs = 200;
constexpr int kClientTimeoutMs = 5000;

std::atomic<bool> stopped{false};

void on_signal(int) { stopped = true; }

void close_socket(Socket socket) {
#ifdef _WIN32
  closesocket(socket);
#else
  close(socket);
#endif
}

/// A socket that is closed with the value.
class Owned {
 public:
  explicit Owned(Socket socket) : socket_(socket) {}
  ~Owned() {
    if (valid()) close_socket(socket_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  bool valid() const { return socket_ != INVALID_SOCKET; }
  Socket get() const { return socket_; }

 private:
  Socket socket_;
};

/// Nobody may keep the one thread busy by saying nothing.
void limit_waiting(Socket socket) {
#ifdef _WIN32
  DWORD timeout = kClientTimeoutMs;
#else
  timeval timeout{kClientTimeoutMs / 1000, 0};
#endif
  const char* value = reinterpret_cast<const char*>(&timeout);
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, value, sizeof timeout);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, value, sizeof timeout);
}

/// Whether a client waits; false after a short while, so that signals are seen.
bool has_client(Socket listener) {
#ifdef _WIN32
  WSAPOLLFD waiting{listener, POLLRDNORM, 0};
  return WSAPoll(&waiting, 1, kStopCheckMs) > 0;
#else
  pollfd waiting{listener, POLLIN, 0};
  return poll(&waiting, 1, kStopCheckMs) > 0;
#endif
}

std::string response(std::string_view status, std::string_view body) {
  std::string text = "HTTP/1.1 ";
  text += status;
  text += "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ";
  text += std::to_string(body.size());
  text += "\r\n\r\n";
  text += body;
  return text;
}

std::string answer(std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t blank = line.find(' ');
  const std::size_t end = line.find(' ', blank == std::string_view::npos ? blank : blank + 1);
  if (blank == std::string_view::npos || end == std::string_view::npos) {
    return response("400 Bad Request", R"({"error":"not a request"})");
  }
  std::string_view path = line.substr(blank + 1, end - blank - 1);
  path = path.substr(0, path.find('?'));
  if (path != "/health") return response("404 Not Found", R"({"error":"not found"})");
  if (line.substr(0, blank) != "GET") {
    return response("405 Method Not Allowed", R"({"error":"method not allowed"})");
  }
  return response("200 OK", R"({"status":"ok","version":")" + std::string(kVersion) + "\"}");
}

void serve_client(Socket client) {
  limit_waiting(client);
  std::string head;
  char buffer[1024];
  while (head.find("\r\n\r\n") == std::string::npos) {
    const auto count = recv(client, buffer, sizeof buffer, 0);
    if (count <= 0 || head.size() > kMaxHeadBytes) return;
    head.append(buffer, static_cast<std::size_t>(count));
  }
  const std::string text = answer(head);
  std::size_t sent = 0;
  while (sent < text.size()) {
    const auto length = static_cast<int>(text.size() - sent);
    const auto count = send(client, text.data() + sent, length, 0);
    if (count <= 0) return;
    sent += static_cast<std::size_t>(count);
  }
}

bool listen_on(Socket listener, const std::string& host, std::uint16_t port, std::uint16_t& chosen) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return false;
#ifndef _WIN32
  // A port whose last connections are still winding down can be had at once. On Windows this would mean something else.
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
#endif
  SocketLength length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, generic, length) != 0 || listen(listener, SOMAXCONN) != 0) return false;
  if (getsockname(listener, generic, &length) != 0) return false;
  chosen = ntohs(address.sin_port);
  return true;
}

int serve(const std::string& host, std::uint16_t port) {
  Owned listener(socket(AF_INET, SOCK_STREAM, 0));
  std::uint16_t chosen = 0;
  if (!listener.valid() || !listen_on(listener.get(), host, port, chosen)) {
    std::fprintf(stderr, "embedded-cpp: cannot listen on %s port %u\n", host.c_str(), unsigned{port});
    return 1;
  }
  std::printf("listening on http://%s:%u\n", host.c_str(), unsigned{chosen});
  std::fflush(stdout);
  while (!stopped) {
    if (!has_client(listener.get())) continue;
    const Owned client(accept(listener.get(), nullptr, nullptr));
    if (client.valid()) serve_client(client.get());
  }
  return 0;
}

int usage(const char* problem) {
  std::fprintf(stderr, "embedded-cpp: %s\nUsage: embedded-cpp [--host <address>] [--port <number>] [--version]\n", problem);
  return 2;
}

bool parse_port(const char* text, std::uint16_t& port) {
  unsigned value = 0;
  char rest = 0;
  if (std::sscanf(text, "%5u%c", &value, &rest) != 1 || value > UINT16_MAX) return false;
  port = static_cast<std::uint16_t>(value);
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8789;
  for (int index = 1; index < count; index += 2) {
    const std::string_view option = arguments[index];
    const char* value = index + 1 < count ? arguments[index + 1] : nullptr;
    if (option == "--version") {
      std::printf("%s\n", kVersion.data());
      return 0;
    }
    if (option == "--host" && value != nullptr) {
      host = value;
    } else if (option == "--port" && value != nullptr) {
      if (!parse_port(value, port)) return usage("`--port` takes a number from 0 to 65535");
    } else {
      return usage("an option is unknown or has no value");
    }
  }
#ifdef _WIN32
  WSADATA data;
  if (WSAStartup(MAKEWORD(2, 2), &data) != 0) return 1;
#else
  std::signal(SIGPIPE, SIG_IGN);
#endif
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  return serve(host, port);
}
