#include "io/cores.h"

#include <pthread.h>
#include <sched.h>

#include <csignal>

#include "io/base/units.h"
#include "io/cgroup.h"

namespace penstock::io {
namespace {

cpu_set_t allowed_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    return set;
}

void pin_to_processor(std::thread& thread, uint32_t core) {
    const cpu_set_t allowed = allowed_processors();
    uint32_t seen_count = 0;
    for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
        if (!CPU_ISSET(processor, &allowed)) continue;
        if (seen_count++ != core) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(processor, &one);
        // Not being pinned costs speed, not correctness.
        pthread_setaffinity_np(thread.native_handle(), sizeof one, &one);
        return;
    }
}

Result<std::unique_ptr<Kernel>> make_kernel(Backend& backend, const Log& log) {
    const KernelOptions options;
    if (backend == Backend::epoll) return make_epoll_kernel(options);
    Result<std::unique_ptr<Kernel>> kernel = make_uring_kernel(options);
    if (kernel || backend == Backend::uring) return kernel;
    log.warning("io_uring is not available here, serving through epoll instead",
                {{"reason", std::string_view(kernel.error().context)}});
    backend = Backend::epoll;  // for the other cores, too
    return make_epoll_kernel(options);
}

}  // namespace

Result<std::unique_ptr<Cores>> Cores::start(const CoresOptions& options, const Log& log) {
    const uint32_t usable_count = usable_core_count();
    const uint32_t count = options.count == 0 ? usable_count : options.count;
    Backend backend = options.backend;
    // Spinning takes a processor from somebody unless each core has one of its own.
    const uint64_t spin_ns = count <= usable_count ? options.spin_ns : 0;

    std::unique_ptr<Cores> cores(new Cores);
    cores->is_stopped_ = true;  // until the threads run
    for (uint32_t index = 0; index < count; ++index) {
        TRY(std::unique_ptr<Kernel> kernel, make_kernel(backend, log));
        auto core = std::make_unique<Core>();
        core->reactor =
            std::make_unique<Reactor>(std::move(kernel), ReactorOptions{index, spin_ns});
        core->buffers = std::make_unique<BufferPool>(options.kept_buffer_bytes_max);
        cores->cores_.push_back(std::move(core));
    }
    cores->pool_ = make_thread_pool(options.pool_threads == 0 ? 2 * count : options.pool_threads);

    // Signals go to the thread that waits for them, never to a loop.
    sigset_t all;
    sigset_t previous;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &previous);
    for (uint32_t index = 0; index < count; ++index) {
        Core& core = *cores->cores_[index];
        core.thread = std::thread([&core] { core.reactor->run(); });
        if (options.is_pinned && count > 1 && count <= usable_count) {
            pin_to_processor(core.thread, index);
        }
    }
    pthread_sigmask(SIG_SETMASK, &previous, nullptr);
    cores->is_stopped_ = false;
    return cores;
}

Cores::~Cores() {
    ASSERT(is_stopped_);
}

void Cores::stop() {
    ASSERT(!is_stopped_);
    for (const std::unique_ptr<Core>& core : cores_) core->reactor->stop();
    for (const std::unique_ptr<Core>& core : cores_) core->thread.join();
    pool_.reset();
    is_stopped_ = true;
}

}  // namespace penstock::io
