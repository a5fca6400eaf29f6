// Node: wires the parts of penstockd together, and stops them in the reverse order. Storage below,
// doors above, the fronts that clients connect to around them.
//
// Made, used and stopped by `main` on its own thread.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/supervisor.h"
#include "node/doors/admin.h"
#include "node/doors/ais/ais_door.h"
#include "node/doors/router.h"
#include "node/doors/rpc/server.h"
#include "node/front.h"
#include "node/node_identity.h"
#include "node/service/access.h"
#include "node/service/admission.h"
#include "node/settings.h"
#include "node/storage.h"

namespace penstock::node {

// Why a node does not start: the process's exit status and one line that says what to do.
struct StartFailure {
    int exit_status;
    std::string text;
};

constexpr int exit_bad_settings = 2;
constexpr int exit_bad_directory = 3;

class Node {
public:
    // Serves when it returns. `log` and `supervisor` outlive the node.
    static std::expected<std::unique_ptr<Node>, StartFailure> start(
        const Settings& settings, const io::Supervisor& supervisor, const Log& log);
    ~Node();

    const NodeIdentity& identity() const { return identity_; }
    // What the ready file says: one line of JSON without its end.
    std::string ready_json() const;
    // Every core has done something just now; does not return before that is so.
    void check_cores();
    // Takes over what may change while it serves: the list of tokens. A sentence if it is wrong;
    // the old one stays then.
    std::expected<void, std::string> reload(const Settings& settings);
    void stop();

private:
    explicit Node(const Log& log) : log_(log) {}
    std::optional<StartFailure> start_parts(const Settings& settings,
                                            const io::Supervisor& supervisor);
    std::optional<StartFailure> listen(const Settings& settings, const io::Supervisor& supervisor);
    std::optional<StartFailure> adopt(const Settings& settings, const io::Supervisor& supervisor);
    std::optional<StartFailure> listen_http(const Settings& settings);
    std::optional<StartFailure> listen_rpc(const Settings& settings);
    void warn_of_plain(const io::Address& address, bool is_tls);
    std::optional<StartFailure> listen_rpc_socket(const Settings& settings);
    void describe();
    void make_doors(const Settings& settings);
    CoreFigures figures(uint32_t core) const;
    // Asked for on `core`.
    io::Task<RequestMetrics> count_requests(uint32_t core);
    io::Task<RequestMetrics> requests_of(uint32_t core) const;
    io::Task<Status> load_certificate(uint32_t core);

    const Log& log_;
    NodeIdentity identity_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<Access> access_;
    std::vector<std::unique_ptr<Admission>> admissions_;  // by core
    bool needs_tokens_ = false;
    std::vector<TlsSlot> tls_;  // by core
    bool has_tls_ = false;
    std::vector<Settings::TlsSettings> tls_files_;  // by core: what was read
    std::unique_ptr<AisDoor> ais_;
    std::unique_ptr<AdminDoor> admin_;
    std::unique_ptr<Router> router_;
    std::unique_ptr<Front> http_;
    std::unique_ptr<Front> rpc_;
    std::vector<const rpc::Server*> rpc_servers_;  // that `rpc_` has, by core
    std::string socket_path_;                      // made by this process
};

}  // namespace penstock::node
