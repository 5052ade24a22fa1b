# What the programs of a build have in common. They run as the account without rights, with Julia 1.5 or later.
# What is asked for comes in HUBWRIGHT_ASKED: a line each, of words between tabs. What is told goes to standard
# output, in lines that begin with "hubwright" and a tab.

asked() = [String.(split(line, '\t')) for line in split(ENV["HUBWRIGHT_ASKED"], '\n'; keepempty=false)]
asked(word) = [line[2:end] for line in asked() if line[1] == word]

tell(words...) = println(stdout, join(("hubwright", words...), '\t'))

function guarded(work)
    try
        work()
    catch error
        error isa InterruptException && rethrow()
        tell("error", strip(replace(sprint(showerror, error), r"\s+" => " ")))
        exit(1)
    end
end
