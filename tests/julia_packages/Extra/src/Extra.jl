module Extra
import Words
more() = Words.hello() * "!"
end
