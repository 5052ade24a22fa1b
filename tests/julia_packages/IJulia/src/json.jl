"""Return what a JSON text holds: dictionaries, vectors, strings, numbers, true, false, nothing."""
parse_json(text) = value_at(collect(text), Ref(1))

function value_at(text, place)
    skip(text, place)
    letter = text[place[]]
    letter == '{' && return items_at(text, place, '}', Dict{String,Any}())
    letter == '[' && return items_at(text, place, ']', Any[])
    letter == '"' && return string_at(text, place)
    start = place[]
    while place[] <= length(text) && !(text[place[]] in (',', '}', ']', ' ', '\n', '\r', '\t'))
        place[] += 1
    end
    word = String(text[start:place[] - 1])
    word == "true" ? true : word == "false" ? false : word == "null" ? nothing : parse(Float64, word)
end

function items_at(text, place, last, found)
    place[] += 1
    while (skip(text, place); text[place[]] != last)
        if found isa Dict
            name = string_at(text, place)
            skip(text, place)
            place[] += 1
            found[name] = value_at(text, place)
        else
            push!(found, value_at(text, place))
        end
        skip(text, place)
        text[place[]] == ',' && (place[] += 1)
    end
    place[] += 1
    found
end

function string_at(text, place)
    start = place[] += 1
    while text[place[]] != '"'
        place[] += text[place[]] == '\\' ? 2 : 1
    end
    place[] += 1
    unescape_string(replace(String(text[start:place[] - 2]), "\\/" => "/"))
end

skip(text, place) = while text[place[]] in (' ', '\n', '\r', '\t')
    place[] += 1
end

"""Return a string as JSON."""
json(text) = "\"" * join(letter < ' ' ? "\\u" * string(UInt16(letter), base=16, pad=4) : letter in ('"', '\\') ? "\\$letter" :
    string(letter) for letter in text) * "\""
