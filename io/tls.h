// TLS: the server's side of TLS 1.2 and 1.3, over memory. Socket (io/socket.h) moves the records;
// nothing here waits or makes a system call, and OpenSSL never sees a descriptor.
//
// A TlsContext is a certificate and its key, read once, never changed and shared by all cores: a
// new certificate is a new context, and connections keep the one that they began with. A
// TlsSession is one connection's, on its core.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "io/buffer_pool.h"

namespace penstock::io {

// What a certificate says of itself.
struct CertificateFacts {
    uint64_t valid_from_s = 0;  // since 1970
    uint64_t valid_to_s = 0;
    std::string issuer;               // its common name
    std::string serial_number;        // decimal
    std::string signature_algorithm;  // as Go names them: "ECDSA-SHA256", "SHA256-RSA", "Ed25519"
    std::string key_algorithm;        // "RSA", "ECDSA", "Ed25519"
    uint32_t version = 0;
};

class TlsContext {
public:
    // PEM files: the certificate with those that prove it behind it, and its key. `invalid` with a
    // sentence that names the file.
    static Result<std::shared_ptr<const TlsContext>> load(const std::string& certificate_path,
                                                          const std::string& key_path);
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;

    const CertificateFacts& certificate() const { return certificate_; }

private:
    friend class TlsSession;
    struct State;
    TlsContext();
    std::unique_ptr<State> state_;
    CertificateFacts certificate_;
};

class TlsSession {
public:
    // What one call of encrypt() takes at most: its records fill 256 KiB, which is one system call.
    static constexpr uint32_t encrypted_bytes_max = 240 << 10;

    // `pool` outlives it.
    TlsSession(std::shared_ptr<const TlsContext> context, BufferPool& pool);
    ~TlsSession();
    TlsSession(const TlsSession&) = delete;

    enum class Step : uint8_t {
        done,   // the handshake is over, or there are bytes
        more,   // records of the peer are needed
        ended,  // the peer said that nothing follows
    };

    // Goes on with the handshake. Whatever the outcome, take_output() may have something to send:
    // on an error, the alert that says why. `invalid`: the peer speaks no TLS.
    Result<Step> handshake();
    // Decrypted bytes of the records that are here; as many as fit. `closed` for records that are
    // broken.
    Result<Step> decrypt(MutableBytes into, uint32_t& count);
    // The records of `bytes` (at most encrypted_bytes_max), in one chunk, to be sent at once and
    // before anything that is encrypted later.
    Result<Chunk> encrypt(Bytes bytes);
    // What the handshake, or the end, has to say to the peer; "" if nothing.
    std::vector<std::byte> take_output();
    // Tells the peer that nothing follows: the next take_output().
    void finish();

    // Where to put records that arrive, about `wanted` bytes, after `more`; then how many came.
    MutableBytes room(uint32_t wanted);
    void received(uint32_t count);
    // Records, or parts of them, that are here and not decrypted.
    bool has_input() const;

private:
    friend class TlsContext;
    struct State;
    std::unique_ptr<State> state_;
    std::shared_ptr<const TlsContext> context_;
};

}  // namespace penstock::io
