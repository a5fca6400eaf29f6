// file_per_object DIRECTORY THREADS BYTES SECONDS: how fast objects are stored durably when each is
// a file of its own: write, fdatasync, rename into place, fsync of the directory. Prints objects a
// second: what our log is compared with.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

bool store(const std::string& directory, int directory_descriptor, const std::string& name,
           const std::vector<char>& content) {
    const std::string path = directory + "/" + name;
    const std::string work_path = path + ".work";
    const int file = open(work_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return false;
    const bool is_written =
        write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
        fdatasync(file) == 0;
    close(file);
    return is_written && rename(work_path.c_str(), path.c_str()) == 0 &&
           fsync(directory_descriptor) == 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
    if (argument_count != 5) {
        std::fprintf(stderr, "usage: file_per_object DIRECTORY THREADS BYTES SECONDS\n");
        return 2;
    }
    const std::string directory = arguments[1];
    const int thread_count = std::atoi(arguments[2]);
    const std::vector<char> content(static_cast<size_t>(std::atoi(arguments[3])), 'x');
    const std::chrono::seconds duration(std::atoi(arguments[4]));
    const int directory_descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_descriptor < 0) return 1;

    std::atomic<uint64_t> stored_count{0};
    std::atomic<bool> has_failed{false};
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (int thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([&, thread] {
            for (uint64_t count = 0; std::chrono::steady_clock::now() - start < duration; ++count) {
                const std::string name = std::to_string(thread) + "-" + std::to_string(count);
                if (!store(directory, directory_descriptor, name, content)) {
                    has_failed = true;
                    return;
                }
                stored_count.fetch_add(1, std::memory_order_relaxed);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    close(directory_descriptor);
    if (has_failed) return 1;
    std::printf("%.1f\n", static_cast<double>(stored_count) / elapsed.count());
    return 0;
}
