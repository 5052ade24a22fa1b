"""A package that needs another, and has something that Julia takes a while to compile."""
module Greeting
import Words
export greet
greet(name) = "$(Words.hello()), $name"
for number in 1:300
    @eval part(::Val{$number}, a) = sin(a) + $number
end
think() = sum(part(Val(number), 0.5) for number in 1:300)
end
