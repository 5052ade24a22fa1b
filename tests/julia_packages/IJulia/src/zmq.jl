const LIBRARY = "libzmq.so.5"
const PUB, REP, ROUTER = 1, 4, 6
const CONTEXT = Ref{Ptr{Cvoid}}(C_NULL)

function bound(kind, address)
    CONTEXT[] == C_NULL && (CONTEXT[] = ccall((:zmq_ctx_new, LIBRARY), Ptr{Cvoid}, ()))
    socket = ccall((:zmq_socket, LIBRARY), Ptr{Cvoid}, (Ptr{Cvoid}, Cint), CONTEXT[], kind)
    ccall((:zmq_bind, LIBRARY), Cint, (Ptr{Cvoid}, Cstring), socket, address) == 0 || error("cannot bind $address")
    socket
end

"""Return which sockets have a message, waiting a tenth of a second."""
function ready(sockets)
    bytes = zeros(UInt8, 16 * length(sockets))
    for (number, socket) in enumerate(sockets)
        place = 16 * (number - 1)
        bytes[place .+ (1:8)] = reinterpret(UInt8, [UInt(socket)])
        bytes[place + 13] = 1
    end
    ccall((:zmq_poll, LIBRARY), Cint, (Ptr{UInt8}, Cint, Clong), bytes, length(sockets), 100)
    [bytes[16 * number - 1] & 1 == 1 for number in 1:length(sockets)]
end

function receive(socket)
    parts = Vector{UInt8}[]
    while true
        message = zeros(UInt8, 64)
        ccall((:zmq_msg_init, LIBRARY), Cint, (Ptr{UInt8},), message)
        ccall((:zmq_msg_recv, LIBRARY), Cint, (Ptr{UInt8}, Ptr{Cvoid}, Cint), message, socket, 0) >= 0 || error("nothing came")
        size = ccall((:zmq_msg_size, LIBRARY), Csize_t, (Ptr{UInt8},), message)
        data = ccall((:zmq_msg_data, LIBRARY), Ptr{UInt8}, (Ptr{UInt8},), message)
        push!(parts, copy(unsafe_wrap(Array, data, size)))
        more = ccall((:zmq_msg_more, LIBRARY), Cint, (Ptr{UInt8},), message)
        ccall((:zmq_msg_close, LIBRARY), Cint, (Ptr{UInt8},), message)
        more == 0 && return parts
    end
end

function transmit(socket, parts)
    for (number, part) in enumerate(parts)
        more = number < length(parts) ? 2 : 0
        ccall((:zmq_send, LIBRARY), Cint, (Ptr{Cvoid}, Ptr{UInt8}, Csize_t, Cint), socket, part, length(part), more) >= 0 || error("cannot send")
    end
end
