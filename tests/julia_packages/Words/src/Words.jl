module Words
hello() = "hello"
end
