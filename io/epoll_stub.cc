#include "io/kernel.h"
namespace penstock::io {
Result<std::unique_ptr<Kernel>> make_epoll_kernel(const KernelOptions&) {
    return fail(Errc::not_implemented, "epoll");
}
}  // namespace penstock::io
