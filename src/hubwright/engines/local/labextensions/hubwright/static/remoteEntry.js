// A prebuilt JupyterLab extension by hand: the container that JupyterLab's module federation asks for, and its plugins.
// JupyterLab's own tokens come from the modules that it shares, so nothing has to be built.
(() => {
  const NOTICE = 'https://hubwright.readthedocs.io/events/notice/v1';
  let shared = {};

  // Shows the notices that the server extension emits.
  const notices = {
    id: 'hubwright:notices',
    description: 'Shows notices of the server, such as a process ended for its memory.',
    autoStart: true,
    activate: app => {
      app.serviceManager.events.stream.connect((_, emission) => {
        if (emission.schema_id !== NOTICE) {
          return;
        }
        app.commands
          .execute('apputils:notify', {
            message: emission.message,
            type: emission.level,
            options: { autoClose: false }
          })
          .catch(reason => console.warn('Hubwright could not show a notice:', reason));
      });
    }
  };

  // JupyterLab 4.6 opens nothing before it has saved the workspace that it has just loaded: half a second or more of
  // doing nothing. This loads it one step earlier and waits for the loading alone; the saving goes on beside it, and
  // JupyterLab's own step finds the work done.
  const LOAD = 'apputils:load-statedb';
  const workspace = (IRouter, IStateDB) => ({
    id: 'hubwright:workspace',
    description: 'Opens what was asked for without waiting until the workspace is saved.',
    autoStart: true,
    requires: [IRouter, IStateDB],
    activate: (app, router, state) => {
      app.commands.addCommand('hubwright:load-workspace', {
        label: 'Load the workspace',
        execute: async location => {
          if (!app.commands.hasCommand(LOAD) || /[?&](clone|reset)\b/.test(location.search ?? '')) {
            return;
          }
          app.commands.execute(LOAD, location).catch(reason => console.warn('The workspace was not saved:', reason));
          await state.fetch('hubwright:loaded'); // answers once the workspace is there
        }
      });
      router.register({ command: 'hubwright:load-workspace', pattern: /.?/, rank: 29 });
    }
  });

  const token = async (name, pick) => {
    const versions = Object.values(shared[name] ?? {});
    return versions.length ? pick((await versions[0].get())()) : undefined;
  };

  const container = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const IRouter = await token('@jupyterlab/application', m => m.IRouter);
      const IStateDB = await token('@jupyterlab/statedb', m => m.IStateDB);
      const plugins = IRouter && IStateDB ? [notices, workspace(IRouter, IStateDB)] : [notices];
      return () => ({ __esModule: true, default: plugins });
    }
  };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['hubwright'] = container;
})();
